// Sends one request to the inference server and its response to the client, as it comes: status, headers and
// body are the server's own, and every piece is passed on when it arrives. What it drops is what is meant for
// one hop alone: hop-by-hop headers, the chunks' own framing and extensions, and trailers (RFC 9110 section
// 6.5.1 lets a proxy; no inference server sends any, and few clients read them).
//
// Back-pressure both ways: one piece of at most kLargestPiece bytes is under way; the next is read when the
// client has taken it. But where others wait for the inference server, an answer whose length is known is
// read whole before the client has taken it (`gathered`), so that a slow reader doesn't keep the server from
// them: what comes in one go anyway, and no stream. Without a length, a document (JSON, an image) is held
// back until its end for that. A response that broke off is never ended cleanly: the caller closes the
// client's connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/ledger.hpp"
#include "proxy/active_request.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/memory_budget.hpp"
#include "proxy/message_heads.hpp"
#include "proxy/upstream_pool.hpp"

namespace cppworker {

struct RelayLimits {
  std::chrono::seconds connect{5};        // loopback: what takes longer isn't listening properly
  std::chrono::seconds first_byte{3600};  // a long generation without streaming sends nothing until its end
  std::chrono::seconds between{600};      // silence inside a response; TGI sends a comment every 15 s
  std::chrono::seconds write{60};         // one piece to a client that doesn't read
  std::chrono::seconds whole{6 * 3600};   // the whole request: what runs longer is stuck in a way of its own
  // Silence both ways on a WebSocket whose server has spoken: no stream of events pauses for so long, and on
  // a server that executes one request at a time it keeps all others waiting.
  std::chrono::seconds websocket_idle{60};
  std::chrono::seconds hold{300};  // for a restart of the inference server: the load of a large model
  // An end without an answer that comes so soon after the request is that of a kept connection which the
  // server had closed, and was about to say so: the request is sent anew.
  std::chrono::milliseconds died_idle{1000};
};

struct RelayResult;

struct RelayRequest {
  const RequestHead& head;
  std::span<const std::string_view> body;  // pieces, sent one after the other
  std::string request_id;
  bool keep_alive = true;  // the client's connection may serve another request
  // Of the endpoint (failure_detector.hpp). Where there are any, the server isn't told what compressions the
  // client takes: a line can't be seen inside one.
  const std::vector<std::string>& failure_lines;
  // Where the answer's bytes are counted as they come, for the watch over a server that stalls. nullptr for a
  // request that anybody may send: its bytes prove nothing about the others.
  Ledger* books = nullptr;
  // What answers that are read ahead are charged to; nullptr: none is.
  MemoryBudget* gathered = nullptr;
  // Called once, when the answer has begun: the request won't be sent again, and `body` isn't looked at any
  // more.
  std::function<void()> when_answered = {};
  // Called once, when the inference server is done with the request: its answer was read whole. Of the
  // result, the status and failed_inside are known.
  std::function<void(const RelayResult&)> when_read = {};
};

enum class RelayEnd {
  kComplete,     // the whole response is with the client
  kAway,         // it is being restarted, and the request was never sent
  kUnreachable,  // no connection to the inference server: nothing was sent to the client
  kNoAnswer,     // it closed the connection without an answer: nothing was sent to the client
  kBadAnswer,    // what it answered isn't HTTP: nothing was sent to the client
  kBrokeOff,     // in the middle of the response: the client's connection must be closed
  kAborted,      // ActiveRequest::abort: see its cause and response_started
};

struct RelayResult {
  RelayEnd end = RelayEnd::kUnreachable;
  int status = 0;                 // the inference server's, once known
  bool response_started = false;  // bytes were sent to the client
  bool failed_inside = false;     // the body of a 2xx tells of a failure
  bool keep_alive = false;        // the client's connection can be used again
  std::uint64_t bytes_to_client = 0;
  std::optional<double> first_byte_seconds;
  bool connected_anew = false;
};

// `request.head` and `request.body` are only read: after kUnreachable and kNoAnswer the same can be relayed
// again.
Awaitable<RelayResult> relay(ClientStream& client, UpstreamPool& pool, const RelayRequest& request,
                             const RelayLimits& limits, ActiveRequest& active);

}  // namespace cppworker
