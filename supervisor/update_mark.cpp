#include "supervisor/update_mark.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "common/unique_fd.hpp"

namespace cppworker {

Result<void> make_update_mark(const std::string& path) {
  // Not through a link: the call comes from outside, and says nothing about other files.
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file)
    return fail("cannot make " + path + ": " + std::strerror(errno) +
                "; the update that was asked for won't happen, make it by hand");
  return {};
}

}  // namespace cppworker
