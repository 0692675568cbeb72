#include "proxy/listener.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>

#include "common/logging.hpp"
#include "proxy/counted.hpp"
#include "proxy/error_response.hpp"
#include "proxy/handler_chain.hpp"
#include "proxy/request.hpp"
#include "proxy/upkeep.hpp"

namespace cppworker {
namespace {

using asio::ip::tcp;

// Out of descriptors or memory: accepting again at once would spin without freeing any.
constexpr std::chrono::milliseconds kPauseAfterError{100};

// Places that are kept free for whoever comes next, or a tenth of all: from there on, each newcomer has the
// oldest connection give way that shows no signature and waits for its client. Without it, two addresses that
// open connections and say nothing have all places for as long as they like. A client that is sent by the
// autoscaler asks at once, and keeps its place then.
constexpr std::int64_t kPlacesKeptFree = 64;

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

// Past a limit: no byte of its is believed, and it costs no more than this. What is here of its request is
// thrown away, so that the end isn't an RST, which may destroy the answer. Under TLS nothing can be said
// without a handshake.
void refuse_connection(tcp::socket socket, std::string_view text, bool tls) {
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  if (!tls) {
    const std::string answer =
        refusal_response(with_retry(refuse(503, text), kRetryWhenFull), false, std::string_view{});
    socket.write_some(asio::buffer(answer), ignored);
  }
  std::array<char, 4096> unread;
  socket.read_some(asio::buffer(unread), ignored);
  socket.shutdown(tcp::socket::shutdown_both, ignored);
}

// A client, its place in its address's share, and among all that came by its door.
struct Accepted {
  tcp::socket socket;
  ClientShares::Place client;
  Counted counted;
  bool crowded;
};

void start_connection(Accepted accepted, ProxyThread& thread, Door door) {
  // What comes by the door for sessions comes from this machine.
  TlsContext tls = door == Door::kPublic ? thread.live.tls : nullptr;
  // Before there is a certificate nobody can be served, and never without TLS where there is to be TLS. The
  // end at once tells a client to try again, which a handshake that goes nowhere wouldn't.
  if (door == Door::kPublic && thread.core.settings.tls && !tls) return;
  if (accepted.crowded) thread.ticker.make_room();
  auto connection =
      std::make_shared<Connection>(std::move(accepted.socket), std::move(tls), thread.core.connection_limits,
                                   std::move(accepted.client), thread.ticker);
  if (door == Door::kSessions) connection->keep_place();
  // An exception is a bug, or memory that ran out, met by one request: the others go on.
  asio::co_spawn(thread.io, run_connection(connection, thread, door),
                 [connection, counted = std::move(accepted.counted)](std::exception_ptr failure) {
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
  const bool is_public = door == Door::kPublic;
  std::atomic<std::int64_t>& open = is_public ? core.connections : core.session_connections;
  const std::int64_t most = is_public ? core.settings.max_connections : kMostSessionConnections;
  const std::int64_t crowded = most - std::min(kPlacesKeptFree, most / 10);
  bool failing = false;
  for (std::size_t turn = 0; acceptor.is_open(); ++turn) {
    ProxyThread& thread = *threads[turn % threads.size()];
    tcp::endpoint peer;
    auto [error, socket] = co_await acceptor.async_accept(thread.io, peer, kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Once an episode: it is tried ten times a second.
      if (!std::exchange(failing, true)) spdlog::warn("Cannot accept connections: {}", error.message());
      co_await sleep_for(kPauseAfterError);
      continue;
    }
    failing = false;
    core.ledger.count(Counter::kConnectionsAccepted);
    auto refuse_it = [&](Counter counter, std::string_view text) {
      core.ledger.count(counter);
      refuse_connection(std::move(socket), text, is_public && core.settings.tls);
    };
    const std::int64_t others = open.load(std::memory_order_relaxed);
    if (others >= most) {
      refuse_it(Counter::kConnectionsRefusedFull, "proxy: too many connections");
      continue;
    }
    // What comes by the door for sessions comes from this machine.
    std::optional<ClientShares::Place> client =
        is_public ? core.clients.enter(peer.address()) : core.clients.enter_uncounted();
    if (!client) {
      refuse_it(Counter::kConnectionsRefusedAddress, "proxy: too many connections from this address");
      continue;
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    auto accepted = std::make_shared<Accepted>(
        Accepted{std::move(socket), std::move(*client), Counted(open), is_public && others >= crowded});
    asio::post(thread.io,
               [accepted, &thread, door] { start_connection(std::move(*accepted), thread, door); });
  }
}

}  // namespace cppworker
