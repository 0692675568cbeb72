// The client's end of a WebSocket, from the 101 on. In this order:
//   read_first_message()   where that says who asks
//   attend()               reads what comes from now on: until hand_over(), pings are answered and data is
//   held hand_over()            from here on what comes is passed on to the inference server as it comes
//   stop()                 always, before anything that it uses is gone
// and send() at any time after the first message.
//
// Back-pressure: one piece is under way to the server; the next is read when that has taken it. A client that
// leaves, or closes while it is attended to, aborts the connection's active request; also one whose end
// stands behind what isn't read.
//
// Threads: the connection's own.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/connection.hpp"
#include "proxy/hang_up.hpp"
#include "proxy/proxy_core.hpp"
#include "proxy/websocket_held_frames.hpp"
#include "proxy/websocket_scanner.hpp"

namespace cppworker {

// How a WebSocket ends for the client.
struct Goodbye {
  enum class Kind {
    kSay,   // with a close frame of ours
    kSaid,  // the server's close frame has been passed on
    kGone,  // nobody is there to hear it
  };
  Kind kind = Kind::kGone;
  std::uint16_t code = 0;  // kSay; kCloseNoCode: a frame without one
  std::string reason;
};

struct FirstMessage {
  std::string text;
  std::optional<Goodbye> end;  // there is no message, and this instead
};

// Once one side has closed, how long the other one has for its own close frame.
inline constexpr std::chrono::seconds kCloseWait{5};

class WebSocketClient {
 public:
  WebSocketClient(Connection& connection, ProxyThread& thread);
  ~WebSocketClient();
  WebSocketClient(const WebSocketClient&) = delete;

  Awaitable<FirstMessage> read_first_message(std::uint64_t limit);
  void attend();
  // Writes `first` to the server, then what was held. False: it doesn't take it.
  Awaitable<bool> hand_over(asio::ip::tcp::socket& server, std::string first);
  // Closes the server's socket, if it was handed over to.
  Awaitable<> stop();

  // False: not taken whole, and nothing can be sent any more.
  Awaitable<bool> send(std::string_view bytes);
  bool intact() const { return intact_; }
  std::uint64_t sent() const { return sent_; }

  // Data has moved: the time for silence begins anew. Control frames prolong nothing.
  enum class Side { kClient, kServer };
  void note_traffic(Side from);
  // The server has closed.
  void begin_closing();
  // Of the client's close frame.
  std::optional<std::uint16_t> close_code() const { return scanner_.close_code(); }

 private:
  Awaitable<> pump();
  Awaitable<bool> take(std::string_view bytes);
  void watch_for_hang_up();
  Awaitable<bool> answer_controls();
  Awaitable<bool> pong(std::string_view payload);
  Awaitable<bool> write(std::string_view bytes);
  void resume_phase();
  Awaitable<> sleep_until_rung(asio::steady_timer& bell);
  void hold(std::string_view bytes);
  std::string take_read_ahead();
  // Charged for a message that isn't known to be anybody's yet.
  bool charge(std::uint64_t bytes);

  Connection& connection_;
  ProxyThread& thread_;
  ActiveRequest& active_;
  HeldFrames held_;
  std::vector<std::string> no_lines_;
  FrameScanner scanner_{no_lines_};
  asio::ip::tcp::socket* server_ = nullptr;  // once handed over
  std::uint64_t charged_ = 0, sent_ = 0;

  asio::steady_timer pump_bell_,
      main_bell_;                       // cancelled when what the one or the other waits for may be there
  bool running_ = false;                // pump()
  std::optional<HangUpWatch> hang_up_;  // since pump() first waited for something else than the client
  bool stopping_ = false, reading_ = false, writing_ = false, handing_over_ = false;
  bool closing_ = false, intact_ = true;
  std::chrono::seconds silence_;            // how long may go without data
  ActiveRequest::Clock::time_point until_;  // and when that, or the wait for the other's close, is over
  std::exception_ptr failure_;
};

}  // namespace cppworker
