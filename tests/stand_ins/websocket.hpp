// A WebSocket on the connection of a request that asked for one, by Boost.Beast: the proxy's own framing is
// what is tested against it, and has no part here. One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/stand_ins/http_server.hpp"

namespace cppworker::stand_ins {

class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // The next message, text or binary; nullopt when the client left. Pings are answered meanwhile, and at any
  // other time.
  virtual Awaitable<std::optional<std::string>> message() = 0;
  virtual Awaitable<bool> send(const std::string& text) = 0;  // false when the client is gone
  // Says why, and waits for the client's own close.
  virtual Awaitable<> close(std::uint16_t code) = 0;
};

// Answers the handshake, choosing the first protocol that the client offers, and lets `talk` speak; what it
// left open is closed with 1000. Meanwhile the exchange's pause() and wait() end when the client leaves, with
// a close frame or without. Without an outcome of `talk`'s own the client was "gone".
using Talk = std::function<Awaitable<>(WebSocket&)>;
Awaitable<> talk_websocket(Exchange& exchange, const Talk& talk);

}  // namespace cppworker::stand_ins
