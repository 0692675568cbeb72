// Remembers which url-only signatures were found good. The client of one worker sends the same signature with
// each request (protocol section 2), so that an RSA operation a request would buy nothing.
//
// Only good verdicts are kept: strangers can make up bad ones without end, and push the good ones out. The
// key is the exact bytes of all that was decided about: public key, URL as it was spelled, signature. Bounded
// in entries and, by the limits of parse_envelope, in bytes (6 MiB at most). Any thread; one short lock.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

class VerdictCache {
 public:
  // A worker has one URL; more than a handful of good url-only signatures means rotating keys or odd
  // spellings.
  static constexpr std::size_t kEntries = 1024;

  VerdictCache();

  bool contains(std::uint64_t key_id, std::string_view url, std::string_view signature);
  void insert(std::uint64_t key_id, std::string_view url, std::string_view signature);
  std::size_t size() const;

 private:
  // Few enough that a set is searched in a moment; the least recently used of a set makes room.
  static constexpr std::size_t kWays = 8;

  struct Entry {
    std::uint64_t hash = 0;
    std::uint64_t key_id = 0;
    std::uint64_t last_used = 0;  // 0: empty
    std::string url, signature;

    bool matches(std::uint64_t hash, std::uint64_t key_id, std::string_view url,
                 std::string_view signature) const;
  };
  using Set = std::array<Entry, kWays>;

  mutable std::mutex mutex_;
  std::uint64_t clock_ = 0;
  std::vector<Set> sets_;
};

}  // namespace cppworker
