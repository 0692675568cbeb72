#include "line.hpp"

#include <fcntl.h>

#include <array>
#include <memory>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

namespace cppworker::chaos {
namespace {

using boost::asio::ip::tcp;

constexpr std::size_t kPiece = 16 << 10;

using SharedSocket = std::shared_ptr<tcp::socket>;

// A worker that is started meanwhile would else hold what we close.
template <class Socket>
void keep_from_children(Socket& socket) {
  ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
}

// One direction, to its end, which is passed on too.
Awaitable<> pass(SharedSocket from, SharedSocket to) {
  std::array<char, kPiece> piece;
  while (true) {
    auto [broken, read] = co_await from->async_read_some(boost::asio::buffer(piece), kTuple);
    if (broken) break;
    auto [gone, written] = co_await boost::asio::async_write(*to, boost::asio::buffer(piece, read), kTuple);
    if (gone) break;
  }
  boost::system::error_code ignored;
  to->shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace

Line::Line(std::uint16_t autoscaler) : there_(boost::asio::ip::address_v4::loopback(), autoscaler) {
  listen();
  thread_ = std::jthread([this] {
    const auto work = boost::asio::make_work_guard(io_);
    io_.run();
  });
}

Line::~Line() {
  io_.stop();
}

void Line::refuse() {
  on_thread([this] { acceptor_.close(); });
}

void Line::fall_silent() {
  on_thread([this] {
    silent_ = true;
    unanswered_ = 0;
  });
}

void Line::mend() {
  on_thread([this] {
    silent_ = false;
    waiting_.clear();
    if (!acceptor_.is_open()) listen();
  });
}

void Line::listen() {
  acceptor_.open(tcp::v4());
  keep_from_children(acceptor_);
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind({boost::asio::ip::address_v4::loopback(), here_});
  acceptor_.listen();
  boost::asio::co_spawn(io_, accept(), boost::asio::detached);
}

Awaitable<> Line::accept() {
  while (true) {
    auto [error, worker] = co_await acceptor_.async_accept(kTuple);
    if (error) co_return;
    keep_from_children(worker);
    if (silent_) {
      waiting_.push_back(std::move(worker));
      ++unanswered_;
    } else {
      boost::asio::co_spawn(io_, connect(std::move(worker)), boost::asio::detached);
    }
  }
}

Awaitable<> Line::connect(Socket socket) {
  auto worker = std::make_shared<Socket>(std::move(socket));
  auto autoscaler = std::make_shared<Socket>(io_);
  auto [error] = co_await autoscaler->async_connect(there_, kTuple);
  if (error) co_return;
  keep_from_children(*autoscaler);
  boost::asio::co_spawn(io_, pass(worker, autoscaler), boost::asio::detached);
  co_await pass(autoscaler, worker);
}

void Line::on_thread(std::function<void()> work) {
  boost::asio::post(io_, boost::asio::use_future(std::move(work))).get();
}

}  // namespace cppworker::chaos
