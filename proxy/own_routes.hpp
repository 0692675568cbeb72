// What the worker answers itself: /ping, the sessions (protocol section 5) and the management (section 6). No
// backend may declare a path of these (launchers/backend_definition.cpp refuses it).
#pragma once

#include <string>
#include <string_view>

#include "common/async.hpp"
#include "proxy/connection.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// By which port a client came.
enum class Door {
  kPublic,
  // Plain HTTP on loopback, for the inference server: ends sessions and does nothing else.
  kSessions,
};

struct OwnRoute {
  enum class Kind { kPing, kSessionCreate, kSessionGet, kSessionHealth, kSessionEnd, kUpdate };

  Kind kind;
  std::string_view method;
  std::string_view path;

  // The others go by the head alone.
  bool reads_body() const { return kind != Kind::kPing && kind != Kind::kUpdate; }
};

struct FoundOwnRoute {
  const OwnRoute* route = nullptr;
  std::string allow;  // when the path is one of these, and the method another: its own
};
FoundOwnRoute find_own_route(const RequestHead& head, Door door);

// Reads the body, does what the route is for, and answers. True when another request may follow.
Awaitable<bool> serve_own_route(const OwnRoute& route, Connection& connection, ProxyThread& thread,
                                Request& request);

}  // namespace cppworker
