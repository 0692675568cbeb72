// What a client sends while its request waits for its turn or for the inference server: data is held for the
// server as it came, pings and the close are taken out for the proxy to answer. Without that, a client whose
// library pings every 20 s would give up in the queue.
//
// Pure; belongs to one connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/websocket_frames.hpp"

namespace cppworker {

class HeldFrames {
 public:
  struct Control {
    WebSocketOpcode opcode;  // kPing or kClose
    std::string payload;
  };

  void feed(std::string_view bytes) { bytes_ += bytes; }
  // The next whole ping or close, which is taken out; nullopt: no further one is here.
  std::optional<Control> next();

  std::size_t size() const { return bytes_.size(); }
  // All that is held, for the server, which gets the rest of a frame that is cut off behind it.
  std::string take() {
    at_ = 0;
    return std::exchange(bytes_, {});
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;              // up to here they were looked at
  std::uint64_t payload_left_ = 0;  // of the data frame that at_ is in
};

}  // namespace cppworker
