// The open requests of each session in this process, so that the session's end can close them (protocol
// section 5).
//
//   auto open = requests.add(id, executor, [&] { active.abort(…); });   // before the ledger is asked
//   if (ledger.touch_session(id, …) != SessionVerdict::kOpen) refuse; …serve…       // ~open: no longer there
//
// In this order none slips through: whoever ends the session first marks it in the ledger and then calls
// close(). A request that was let in before the mark is here by then, and one that comes after it isn't let
// in.
//
// Another process's requests can't be reached: each proxy looks after its own, by asking the ledger about
// ids() when another one has ended a session, and now and then.
//
// Threads: any. An abort runs on its request's executor, where the handle is also destroyed: so it never runs
// after that, and may refer to what the request's coroutine holds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/any_io_executor.hpp>

namespace cppworker {

class SessionRequests {
  struct Entry;
  using Entries = std::multimap<std::string, std::shared_ptr<Entry>, std::less<>>;

 public:
  // The request is open while this lives. Default-constructed: a request without a session.
  class Handle {
   public:
    Handle() = default;
    Handle(Handle&& other) noexcept;
    Handle& operator=(Handle&& other) noexcept;
    ~Handle();

   private:
    friend class SessionRequests;
    Handle(SessionRequests* owner, Entries::iterator place) : owner_(owner), place_(place) {}

    SessionRequests* owner_ = nullptr;
    Entries::iterator place_;
  };

  SessionRequests() = default;
  SessionRequests(const SessionRequests&) = delete;  // handles point here, and must not outlive it

  // `executor` runs one handler at a time (an io_context of one thread, a strand).
  [[nodiscard]] Handle add(std::string session_id, boost::asio::any_io_executor executor,
                           std::function<void()> abort);

  // Has each request's abort called once, now or never: a second close() doesn't repeat it. Says how many
  // requests of the session were open.
  std::size_t close(std::string_view session_id);

  // Whether any request of the session is open.
  bool has(std::string_view session_id) const;

  // Sessions that have open requests here, each once.
  std::vector<std::string> ids() const;

 private:
  mutable std::mutex mutex_;
  Entries entries_;
};

}  // namespace cppworker
