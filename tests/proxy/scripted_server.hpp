// The inference server of a test: takes connections, shows each request as it came, and sends exactly the
// bytes that the test says, when it says so.
//
// It has no thread. The kernel's queues hold what the proxy did (a connection, bytes) until the test asks;
// where the proxy must do something first, asking waits for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/proxy/raw_message.hpp"

namespace cppworker {

// A connection of the proxy's, at the server's end.
class UpstreamConnectionInTest : public RawSocket {
 public:
  using RawSocket::RawSocket;

  RawMessage read_request() { return read_raw_request(*this); }
  // A response with Content-Length. `more` are whole header lines with their ends.
  void answer(int status, std::string_view body, std::string_view more = {});
};

class ScriptedServer {
 public:
  ScriptedServer();

  std::uint16_t port() const { return port_; }
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }

  // The proxy's next connection; waits for it.
  UpstreamConnectionInTest accept();
  // A connection waits to be accepted. Means something after RunningProxy::settle().
  bool is_called() const;

  // Refuses connections, but keeps its port; and the way back.
  void stop_listening();
  void listen_again();
  // Is as one whose queue of connections is full and that takes none of them: who connects from now on waits.
  void stop_accepting();

 private:
  UniqueFd reservation_;  // bound and never listening: keeps the port ours while nothing listens
  UniqueFd listener_;
  UniqueFd filler_;  // the connection that fills the queue
  std::uint16_t port_ = 0;
};

}  // namespace cppworker
