// The life of a WebSocket at an endpoint that declares one: handshake, who asks, admission, the inference
// server's handshake, and then bytes both ways until one side ends it.
//
//   with auth fields in the query:  401, 429, 503 … before the 101; the inference server chooses the
//   protocol,
//                                   and its answer is passed on when it refuses
//   else:                           101, the first message (flat or wrapped, as a body would be; its payload
//                                   goes on to the server), and a close frame where HTTP has a status
//
// What holds for other requests holds here: signature, own URL, replay window, session, admission, books, the
// client's leaving and the limits of time. Only the first message is signed and weighed; what the client
// sends later on the same connection is its server's affair.
//
// Frames pass as they came: the proxy takes part only until the inference server is there (it answers pings
// and the close of a client that waits), and at the end, where it says why with a close frame of its own.
#pragma once

#include "common/async.hpp"
#include "proxy/connection.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// True when another request may follow on the connection, which then never became a WebSocket.
Awaitable<bool> serve_websocket(Connection& connection, ProxyThread& thread, Request& request);

}  // namespace cppworker
