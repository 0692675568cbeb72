#include "proxy/listener.hpp"

#include <boost/asio/co_spawn.hpp>

#include "common/logging.hpp"
#include "proxy/handler_chain.hpp"
#include "proxy/upkeep.hpp"

namespace cppworker {
namespace {

using asio::ip::tcp;

// Out of descriptors or memory: accepting again at once would spin without freeing any.
constexpr std::chrono::milliseconds kPauseAfterError{100};

// One connection, request after request.
Awaitable<> run_connection(std::shared_ptr<Connection> connection, ProxyThread& thread, Door door) {
  bool another = co_await connection->handshake();
  if (!another) thread.core.ledger.count(Counter::kTlsHandshakesFailed);
  while (another) {
    another = co_await serve_request(*connection, thread, door);
    connection->finish_request();
  }
  connection->close();
}

void start_connection(tcp::socket socket, ProxyThread& thread, Door door) {
  // What comes by the door for sessions comes from this machine.
  TlsContext tls = door == Door::kPublic ? thread.live.tls : nullptr;
  // Before there is a certificate nobody can be served, and never without TLS where there is to be TLS. The
  // end at once tells a client to try again, which a handshake that goes nowhere wouldn't.
  if (door == Door::kPublic && thread.core.settings.tls && !tls) {
    thread.core.connections.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  auto connection = std::make_shared<Connection>(
      std::move(socket), std::move(tls), thread.core.connection_limits, thread.core.bodies, thread.ticker);
  // An exception is a bug, or memory that ran out, met by one request: the others go on.
  asio::co_spawn(thread.io, run_connection(connection, thread, door),
                 [connection, &thread](std::exception_ptr failure) {
                   thread.core.connections.fetch_sub(1, std::memory_order_relaxed);
                   if (!failure) return;
                   connection->finish_request();  // its watchers point into what the exception took down
                   connection->close();
                   spdlog::error("A connection ended unexpectedly: {}", message_of(failure));
                 });
}

}  // namespace

Awaitable<> run_listener(tcp::acceptor& acceptor, std::vector<std::unique_ptr<ProxyThread>>& threads,
                         Door door) {
  ProxyCore& core = threads.front()->core;
  bool failing = false;
  for (std::size_t turn = 0; acceptor.is_open(); ++turn) {
    ProxyThread& thread = *threads[turn % threads.size()];
    auto [error, socket] = co_await acceptor.async_accept(thread.io, kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Once an episode: it is tried ten times a second.
      if (!std::exchange(failing, true)) spdlog::warn("Cannot accept connections: {}", error.message());
      co_await sleep_for(kPauseAfterError);
      continue;
    }
    failing = false;
    core.ledger.count(Counter::kConnectionsAccepted);
    // Past the limit a connection is closed unread: each one costs memory before its first byte is believed.
    if (core.connections.load(std::memory_order_relaxed) >= core.settings.max_connections) continue;
    core.connections.fetch_add(1, std::memory_order_relaxed);
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    auto shared = std::make_shared<tcp::socket>(std::move(socket));
    asio::post(thread.io, [shared, &thread, door] { start_connection(std::move(*shared), thread, door); });
  }
}

}  // namespace cppworker
