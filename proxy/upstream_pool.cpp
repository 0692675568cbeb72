#include "proxy/upstream_pool.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "proxy/coarse_clock.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kKeptBuffer = 4 * 1024;

constexpr std::string_view kPlainest = "reno";

// An idle connection has nothing to read; anything there (an end, an error, bytes nobody asked for) spoils
// it.
bool is_quiet(asio::ip::tcp::socket& socket) {
  char byte;
  ssize_t n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

void tune(UpstreamConnection& connection) {
  asio::ip::tcp::socket& socket = connection.socket;
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  // A loopback has no congestion. The machine's default may be BBR, whose pacing sets a timer for each
  // packet; this one is in every kernel, and costs least.
  asio::ip::tcp::endpoint server = socket.remote_endpoint(ignored);
  if (server.address().is_loopback())
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_CONGESTION, kPlainest.data(), kPlainest.size());
}

std::string authority_of(const asio::ip::tcp::endpoint& server) {
  std::string address = server.address().to_string();
  return (server.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(server.port());
}

UpstreamPool::UpstreamPool(asio::ip::tcp::endpoint server)
    : server_(server), authority_(authority_of(server)) {}

std::unique_ptr<UpstreamConnection> UpstreamPool::take_idle() {
  auto now = coarse_now();
  while (!idle_.empty()) {
    Idle idle = std::move(idle_.back());  // the youngest: most likely still open
    idle_.pop_back();
    if (now - idle.since > kLongestIdle) {
      idle_.clear();  // all others are older
      return nullptr;
    }
    if (is_quiet(idle.connection->socket)) return std::move(idle.connection);
  }
  return nullptr;
}

void UpstreamPool::drop_stale(std::chrono::steady_clock::time_point now) {
  auto oldest = now - kLongestIdle;
  std::erase_if(idle_, [&](const Idle& idle) { return idle.since < oldest; });
}

std::unique_ptr<UpstreamConnection> UpstreamPool::make(asio::any_io_executor executor) const {
  return std::make_unique<UpstreamConnection>(std::move(executor));
}

void UpstreamPool::give_back(std::unique_ptr<UpstreamConnection> connection) {
  if (idle_.size() >= kMostIdle || connection->buffer.size() != 0) return;
  connection->reused = true;
  // What a head is read into is kept for the next one.
  if (connection->buffer.capacity() > kKeptBuffer) connection->buffer.shrink_to_fit();
  idle_.push_back({std::move(connection), coarse_now()});
}

}  // namespace cppworker
