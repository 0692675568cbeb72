// What the supervisor tells the proxy, and the proxy the supervisor, over their socket pair: one JSON object
// a line. The supervisor's message is always the whole state (a level, not an edge), so that a proxy that has
// just started, or missed nothing but the order, knows all it needs after one line.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace cppworker {

// The descriptors that the supervisor gives to cppworker-proxy, in this order from 3 on.
inline constexpr int kListenerFd = 3;
inline constexpr int kControlFd = 4;
inline constexpr int kSessionListenerFd =
    5;  // plain HTTP on loopback: POST /session/end (protocol section 5)

// A control message longer than this is a bug of the other side: a state with two 8192-bit keys has 4 kB, a
// certificate's chain and key 20, and 64 KiB each at the most that the supervisor takes.
inline constexpr std::size_t kLongestControlMessage = 256 * 1024;

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
  double max_perf = 0;                   // work units/s, from the benchmark; 0: not known
  double load_seconds = 0;               // that the model's last load took; 0: not known
  // PEM, what the public port is served under; both empty without TLS, and as long as there are none. They
  // come this way, since the proxy's user can't read the key's file. The key is secret.
  std::string certificate, private_key;
  // SHA-256 of the master token (token_digest.hpp); empty: nobody may have the instance updated. Never in a
  // file: it would be there for everybody to try tokens on.
  std::string update_digest;
  // Another proxy has taken the socket over: accept no more, and let each connection end with its next
  // answer.
  bool retiring = false;
  bool operator==(const WorkerState&) const = default;
};

enum class ProxyNotice {
  kServing,            // accepts connections on the inherited socket
  kSignaturesFailing,  // several signatures in a row were wrong: the public key may have changed
  kDrained,            // draining, and nothing is in flight any more; or retiring, and no connection is left
  kUpdateRequested,    // the holder of the master token wants the instance updated
  kAlive,              // every thread's loop has turned since the last one
  kTellOthers,         // what this proxy has changed in the ledger may concern other proxies: kLookMessage
};

// While it serves, the proxy says kAlive this often; when it hasn't for that long, its loops hang.
inline constexpr std::chrono::seconds kAliveInterval{1};
inline constexpr std::chrono::seconds kAliveTimeout{5};

// To a proxy: something in the ledger isn't as another proxy left it. A place at the inference server may be
// free, a session of requests that are open here may be over. It is only a hint: each proxy also looks by
// itself, if less often, since the supervisor may be stopped.
inline constexpr std::string_view kLookMessage = "{\"look\":true}\n";

std::string encode(const WorkerState& state);  // with the line's end
Result<WorkerState> decode_state(std::string_view line);
std::string encode(ProxyNotice notice);
Result<ProxyNotice> decode_notice(std::string_view line);

}  // namespace cppworker
