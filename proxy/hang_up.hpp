// The end of a connection whose bytes aren't read: of a client that sent more ahead than is taken in before
// its turn. Asio's waits tell of bytes or of a reset; that the other side has closed, behind bytes that are
// still there, the kernel tells only who asks for just that (EPOLLRDHUP).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <boost/asio/any_io_executor.hpp>

#include "common/async.hpp"

namespace cppworker {

// Waits until the other side of `socket` has closed or reset the connection: by an epoll of its own, made for
// the few connections that need it. It goes when `socket` does, or earlier. `gone` is called once, `grace`
// after the end, unless the watch is destroyed before; `gone` may do that, too. Where there are no
// descriptors left, it is never called.
//
// Threads: the executor's, which is one.
class HangUpWatch {
 public:
  HangUpWatch(asio::any_io_executor executor, int socket, std::chrono::milliseconds grace,
              std::function<void()> gone);
  ~HangUpWatch();
  HangUpWatch(const HangUpWatch&) = delete;

 private:
  struct Waiting;
  std::shared_ptr<Waiting> waiting_;
};

}  // namespace cppworker
