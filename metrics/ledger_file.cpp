#include "metrics/ledger_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "metrics/ledger_layout.hpp"
#include "metrics/ledger_lock.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

std::string cause() {
  return std::strerror(errno);
}

}  // namespace

LedgerFile::~LedgerFile() {
  if (base_) ::munmap(base_, kTotalBytes);
}

Result<LedgerFile> LedgerFile::map(UniqueFd fd) {
  void* base = ::mmap(nullptr, kTotalBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return fail("cannot map it: " + cause());
  return LedgerFile(std::move(fd), static_cast<std::uint64_t*>(base));
}

Result<LedgerFile> LedgerFile::make(const std::string& path, std::uint64_t identity) {
  std::string temporary = path + ".new";
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT)
    return fail("cannot remove " + temporary + ": " + cause());
  UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail("cannot create " + temporary + ": " + cause());
  // The space is taken now: a disk that fills up later would end every process that maps the file (SIGBUS).
  if (int error = ::posix_fallocate(fd.get(), 0, kTotalBytes); error != 0)
    return fail("cannot reserve " + std::to_string(kTotalBytes) + " bytes for " + temporary + ": " +
                std::strerror(error));
  auto file = map(std::move(fd));
  if (!file) return wrap("cannot create " + temporary, file.error());

  LedgerWords words = file->words();
  make_ledger_mutex(words);
  words.store(kMagicWord, kMagic);
  words.store(kVersionWord, kVersion);
  words.store(kBytesWord, kTotalBytes);
  words.store(kIdentityWord, identity);
  if (::flock(file->fd_.get(), LOCK_SH | LOCK_NB) != 0)
    return fail("cannot lock " + temporary + ": " + cause());
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail("cannot rename " + temporary + " to " + path + ": " + cause());
  return file;
}

Result<LedgerFile::Found> LedgerFile::find(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return Found{Kind::kAbsent, {}, std::nullopt};
  if (!fd) return fail("cannot open " + path + ": " + cause());
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return fail("cannot inspect " + path + ": " + cause());
  if (!S_ISREG(status.st_mode)) return fail("cannot use " + path + ": it is not a file");
  if (static_cast<std::size_t>(status.st_size) != kTotalBytes)
    return Found{
        Kind::kForeign,
        "its size is " + std::to_string(status.st_size) + " bytes instead of " + std::to_string(kTotalBytes),
        std::nullopt};
  auto file = map(std::move(fd));
  if (!file) return wrap("cannot open " + path, file.error());
  LedgerWords words = file->words();
  if (words.load(kMagicWord) != kMagic) return Found{Kind::kForeign, "it is no ledger", std::nullopt};
  if (words.load(kVersionWord) != kVersion || words.load(kBytesWord) != kTotalBytes)
    return Found{Kind::kForeign,
                 "its layout is version " + std::to_string(words.load(kVersionWord)) + " instead of " +
                     std::to_string(kVersion),
                 std::nullopt};
  return Found{Kind::kUsable, {}, std::optional<LedgerFile>(std::move(*file))};
}

std::uint64_t LedgerFile::identity() const {
  return words().load(kIdentityWord);
}

bool LedgerFile::lock_alone() {
  return ::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0;
}

Result<void> LedgerFile::lock_shared(std::chrono::milliseconds bound) {
  // Only a supervisor that is opening the file holds it exclusively, for microseconds.
  constexpr std::chrono::milliseconds kPause(1);
  auto until = std::chrono::steady_clock::now() + bound;
  while (::flock(fd_.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail("cannot lock it: " + cause());
    if (std::chrono::steady_clock::now() >= until)
      return fail("cannot lock it: another supervisor is opening it and doesn't go on");
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

std::uint64_t identity_hash(std::string_view identity) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : identity) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

}  // namespace cppworker
