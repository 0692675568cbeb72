#include "supervisor/run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/logging.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

// Where somebody else can put files, a key can be planted, and a link that we would write through: under /tmp
// anybody may make the folder first. Root is told by the operator where to run.
bool belongs_to_another(const std::string& path) {
  struct stat found {};
  if (::geteuid() == 0 || ::stat(path.c_str(), &found) != 0) return false;
  return found.st_uid != ::geteuid() && found.st_uid != 0;
}

}  // namespace

Result<UniqueFd> hold_run_directory(const std::string& path) {
  std::error_code error;
  bool made = std::filesystem::create_directories(path, error);
  if (error)
    return fail("cannot make the run directory " + path + ": " + error.message() +
                "; choose another with --run-dir");
  if (made) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  if (belongs_to_another(path))
    return fail("cannot use the run directory " + path +
                ": it belongs to another user, who could put a key of his own there; choose another with "
                "--run-dir");
  std::string lock_path = path + "/lock";
  UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail("cannot write to the run directory " + path + ": " + std::strerror(errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    std::string holder(trim(read_file(lock_path, 32).value_or("")));
    return fail("cannot use the run directory " + path + ": another worker (process " + printable(holder) +
                ") runs in it; stop that one, or choose another with --run-dir");
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
    return fail("cannot write to the run directory " + path + ": " + std::strerror(errno));
  return lock;
}

}  // namespace cppworker
