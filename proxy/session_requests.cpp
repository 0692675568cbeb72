#include "proxy/session_requests.hpp"

#include <utility>
#include <boost/asio/post.hpp>

namespace cppworker {

struct SessionRequests::Entry {
  boost::asio::any_io_executor executor;
  std::function<void()> abort;
  bool told = false;  // guarded by the mutex
};

SessionRequests::Handle::Handle(Handle&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), place_(other.place_) {}

SessionRequests::Handle& SessionRequests::Handle::operator=(Handle&& other) noexcept {
  Handle old(std::move(*this));
  owner_ = std::exchange(other.owner_, nullptr);
  place_ = other.place_;
  return *this;
}

SessionRequests::Handle::~Handle() {
  if (owner_ == nullptr) return;
  // Destroyed behind the lock: what the abort holds may have a destructor of its own.
  std::shared_ptr<Entry> entry;
  std::lock_guard lock(owner_->mutex_);
  entry = std::move(place_->second);
  owner_->entries_.erase(place_);
}

SessionRequests::Handle SessionRequests::add(std::string session_id, boost::asio::any_io_executor executor,
                                             std::function<void()> abort) {
  auto entry = std::make_shared<Entry>(Entry{std::move(executor), std::move(abort)});
  std::lock_guard lock(mutex_);
  return Handle(this, entries_.emplace(std::move(session_id), std::move(entry)));
}

std::size_t SessionRequests::close(std::string_view session_id) {
  std::lock_guard lock(mutex_);
  auto [first, last] = entries_.equal_range(session_id);
  std::size_t open = 0;
  for (auto each = first; each != last; ++each, ++open) {
    Entry& entry = *each->second;
    if (std::exchange(entry.told, true)) continue;
    // Weak: the request may have ended, and all that its abort refers to with it, before the executor comes
    // to it.
    boost::asio::post(entry.executor, [weak = std::weak_ptr<Entry>(each->second)] {
      if (auto still_open = weak.lock()) still_open->abort();
    });
  }
  return open;
}

bool SessionRequests::has(std::string_view session_id) const {
  std::lock_guard lock(mutex_);
  return entries_.find(session_id) != entries_.end();
}

std::vector<std::string> SessionRequests::ids() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (auto each = entries_.begin(); each != entries_.end(); each = entries_.upper_bound(each->first))
    ids.push_back(each->first);
  return ids;
}

}  // namespace cppworker
