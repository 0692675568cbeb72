// Holds a request over a restart of the inference server: one that was let in and had no byte of an answer
// yet waits, and is sent again when the server is back.
//
//   while (holding.server_is_there()) {
//     send; if (answered || !holding.send_again()) break;
//   }
//
// Threads: the request's.
#pragma once

#include <cstdint>

#include "proxy/active_request.hpp"
#include "proxy/newcomer.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

class Holding {
 public:
  // `hold`: false for requests that aren't worth it; then nothing here waits. `newcomer`: the request's.
  Holding(ProxyThread& thread, ActiveRequest& active, bool hold, Newcomer& newcomer);

  // False: the server that is being restarted isn't back in time, or the request was aborted.
  Awaitable<bool> server_is_there();
  // The request was never sent.
  bool unsent() const { return sends_ == 0; }
  // After a sending that got no answer. True: the server went away, and may come back.
  Awaitable<bool> send_again();

 private:
  ProxyThread& thread_;
  ActiveRequest& active_;
  bool hold_;
  Newcomer& newcomer_;
  int sends_ = 0;
  std::uint64_t epoch_ = 0;  // at the last sending
};

}  // namespace cppworker
