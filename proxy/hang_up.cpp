#include "proxy/hang_up.hpp"

#include <sys/epoll.h>

#include <optional>
#include <utility>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

// Becomes readable then, and not before. nullopt: there are no descriptors left.
std::optional<asio::posix::stream_descriptor> hang_up_descriptor(asio::any_io_executor executor, int socket) {
  UniqueFd watch(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLRDHUP;  // errors, a reset among them, come unasked
  if (!watch || ::epoll_ctl(watch.get(), EPOLL_CTL_ADD, socket, &event) != 0) return std::nullopt;
  asio::posix::stream_descriptor descriptor(std::move(executor), watch.get());
  watch.release();
  return descriptor;
}

}  // namespace

// A wait that has ended may stand in the executor's queue when the watch goes: it owns what it looks at.
struct HangUpWatch::Waiting {
  std::optional<asio::posix::stream_descriptor> hang_up;
  asio::steady_timer grace;
  std::function<void()> gone;  // empty: nobody wants to know any more
};

HangUpWatch::HangUpWatch(asio::any_io_executor executor, int socket, std::chrono::milliseconds grace,
                         std::function<void()> gone)
    : waiting_(std::make_shared<Waiting>(
          Waiting{hang_up_descriptor(executor, socket), asio::steady_timer(executor), std::move(gone)})) {
  if (!waiting_->hang_up) return;
  waiting_->hang_up->async_wait(asio::posix::stream_descriptor::wait_read,
                                [waiting = waiting_, grace](const boost::system::error_code& error) {
                                  if (error || !waiting->gone) return;
                                  waiting->grace.expires_after(grace);
                                  waiting->grace.async_wait([waiting](const boost::system::error_code&) {
                                    if (auto gone = std::exchange(waiting->gone, nullptr)) gone();
                                  });
                                });
}

HangUpWatch::~HangUpWatch() {
  waiting_->gone = nullptr;
  waiting_->hang_up.reset();
  waiting_->grace.cancel();
}

}  // namespace cppworker
