// What the supervisor tells the proxy, and the proxy the supervisor, over their socket pair: one JSON object
// a line. The supervisor's message is always the whole state (a level, not an edge), so that a proxy that has
// just started, or missed nothing but the order, knows all it needs after one line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace cppworker {

// The descriptors that the supervisor gives to cppworker-proxy, in this order from 3 on.
inline constexpr int kListenerFd = 3;
inline constexpr int kControlFd = 4;

// A control message longer than this is a bug of the other side: a state with two 8192-bit keys has 4 kB.
inline constexpr std::size_t kLongestControlMessage = 64 * 1024;

enum class ModelPhase {
  kLoading,    // never ready since it was launched
  kReady,      // requests are forwarded
  kUnhealthy,  // was ready, is being restarted
  kDraining,   // the worker stops: what is in flight may end, nothing new begins
};

std::string_view phase_name(ModelPhase phase);

struct WorkerState {
  ModelPhase phase = ModelPhase::kLoading;
  std::vector<std::string> public_keys;  // PEM, newest first; the older one is valid during its overlap
  bool operator==(const WorkerState&) const = default;
};

enum class ProxyNotice {
  kServing,            // accepts connections on the inherited socket
  kSignaturesFailing,  // several signatures in a row were wrong: the public key may have changed
  kDrained,            // draining, and nothing is in flight any more
};

std::string encode(const WorkerState& state);  // with the line's end
Result<WorkerState> decode_state(std::string_view line);
std::string encode(ProxyNotice notice);
Result<ProxyNotice> decode_notice(std::string_view line);

}  // namespace cppworker
