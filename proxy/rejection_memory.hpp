// Which rejected requests have been counted as rejected load, so that each is counted once: a message whose
// signature is good may be sent again as long as it isn't accepted, and one that was captured while the
// worker loads would otherwise add its work, and its request_idx to what the autoscaler is told, each time.
//
// What tells requests apart: the reqnum where a signature covers it, else the request_idx, else the reqnum; a
// session's requests, which repeat its auth_data, are one. Where there is none of them (UNSECURED), each
// counts.
//
// Bounded: the oldest are forgotten, and with the process all. Any thread; one short lock, taken for
// rejections alone.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "metrics/ledger_books.hpp"

namespace cppworker {

class RejectionMemory {
 public:
  // As many as the autoscaler can be told of at once (the ledger's queue of failures); a megabyte when full.
  static constexpr std::size_t kRemembered = 16 * 1024;

  // Remembers it. False: it was remembered already.
  bool is_first(const Acceptance& request);

 private:
  // What isn't signed is the client's word, and must not pass for what is.
  enum class Kind { kSignedReqnum, kRequestIdx, kReqnum };
  using Key = std::pair<Kind, std::uint64_t>;
  static std::optional<Key> key_of(const Acceptance& request);

  std::mutex mutex_;
  std::set<Key> known_;  // ordered: strangers choose the numbers, and could make a hash table slow
  std::deque<Key> in_order_;
};

}  // namespace cppworker
