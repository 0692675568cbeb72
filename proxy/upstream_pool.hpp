// Keep-alive connections to the inference server. One pool per thread: no lock, and a connection never
// changes its io_context.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "common/async.hpp"

namespace cppworker {

struct UpstreamConnection {
  explicit UpstreamConnection(asio::any_io_executor executor) : socket(std::move(executor)) {}

  asio::ip::tcp::socket socket;
  boost::beast::flat_buffer buffer;  // what was read past the previous read
  bool reused = false;               // has carried a request before
};

// Once it is connected: what TCP should do between this machine and itself.
void tune(UpstreamConnection& connection);

// "127.0.0.1:5001", "[::1]:5001"
std::string authority_of(const asio::ip::tcp::endpoint& server);

class UpstreamPool {
 public:
  // Python servers close idle connections after 5 s (uvicorn) or more; one that is kept for less is rarely
  // found dead when it is needed.
  static constexpr std::chrono::seconds kLongestIdle{4};
  // More idle connections than this serve nobody: a burst's sockets are closed, not hoarded.
  static constexpr std::size_t kMostIdle = 128;

  explicit UpstreamPool(asio::ip::tcp::endpoint server);

  // An idle connection that is still open, or nullptr.
  std::unique_ptr<UpstreamConnection> take_idle();

  // Unconnected; the caller connects it to server().
  std::unique_ptr<UpstreamConnection> make(asio::any_io_executor executor) const;
  const asio::ip::tcp::endpoint& server() const { return server_; }
  const std::string& authority() const { return authority_; }

  // Only after a complete exchange whose response allows another one.
  void give_back(std::unique_ptr<UpstreamConnection> connection);

  // Closes what has been idle for too long: sockets whose other end was closed, most likely. Now and then.
  void drop_stale(std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now());

  // The inference server was restarted: its old connections are dead.
  void clear() { idle_.clear(); }

 private:
  struct Idle {
    std::unique_ptr<UpstreamConnection> connection;
    std::chrono::steady_clock::time_point since;
  };
  asio::ip::tcp::endpoint server_;
  std::string authority_;
  std::vector<Idle> idle_;
};

}  // namespace cppworker
