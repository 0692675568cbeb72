// The ledger's file, mapped: made, opened, and told apart from what is no ledger of this version.
//
// Everyone who maps it holds a shared flock on it. A supervisor that gets it exclusively is alone, and may
// make the mutex anew: one left locked by a machine that went down has no owner whose death the kernel could
// announce.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.hpp"
#include "common/unique_fd.hpp"
#include "metrics/ledger_words.hpp"

namespace cppworker {

class LedgerFile {
 public:
  LedgerFile(LedgerFile&& other) noexcept
      : fd_(std::move(other.fd_)), base_(std::exchange(other.base_, nullptr)) {}
  LedgerFile& operator=(LedgerFile&&) = delete;
  ~LedgerFile();

  // A new, empty ledger in place of whatever lies at `path`, complete before it appears there.
  static Result<LedgerFile> make(const std::string& path, std::uint64_t identity);

  enum class Kind { kUsable, kAbsent, kForeign };  // kForeign: another version, another size, or no ledger
  struct Found;
  // Opens what is there; `file` is set when it is usable. An error means that nobody can tell.
  static Result<Found> find(const std::string& path);

  LedgerWords words() const { return LedgerWords(base_); }
  std::uint64_t identity() const;

  bool lock_alone();  // at once, or false; lets go of a shared lock
  Result<void> lock_shared(std::chrono::milliseconds bound);

 private:
  LedgerFile(UniqueFd fd, std::uint64_t* base) : fd_(std::move(fd)), base_(base) {}
  static Result<LedgerFile> map(UniqueFd fd);

  UniqueFd fd_;
  std::uint64_t* base_;
};

struct LedgerFile::Found {
  Kind kind;
  std::string why;  // with kForeign
  std::optional<LedgerFile> file;
};

// FNV-1a: tells one container's books from another's; no secret hangs on it.
std::uint64_t identity_hash(std::string_view identity);

}  // namespace cppworker
