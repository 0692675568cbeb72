#include "proxy/rejection_memory.hpp"

namespace cppworker {

std::optional<RejectionMemory::Key> RejectionMemory::key_of(const Acceptance& request) {
  if (request.once && request.reqnum) return Key{Kind::kSignedReqnum, *request.reqnum};
  if (request.request_idx) return Key{Kind::kRequestIdx, static_cast<std::uint64_t>(*request.request_idx)};
  if (request.reqnum) return Key{Kind::kReqnum, *request.reqnum};
  return std::nullopt;
}

bool RejectionMemory::is_first(const Acceptance& request) {
  const std::optional<Key> key = key_of(request);
  if (!key) return true;
  std::lock_guard lock(mutex_);
  if (known_.contains(*key)) return false;
  in_order_.push_back(*key);
  known_.insert(*key);
  if (in_order_.size() > kRemembered) {
    known_.erase(in_order_.front());
    in_order_.pop_front();
  }
  return true;
}

}  // namespace cppworker
