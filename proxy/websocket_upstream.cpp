#include "proxy/websocket_upstream.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include "common/logging.hpp"
#include "proxy/websocket_handshake.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::response_parser<http::string_body>;

constexpr std::uint32_t kLargestHead = 64 * 1024;

// Sends the request and reads the answer's head. False: `result.end` says why there is none.
Awaitable<bool> exchange_heads(UpstreamConnection& connection, const std::string& head, Parser& parser,
                               UpstreamUpgradeResult& result) {
  co_await asio::async_write(connection.socket, asio::buffer(head), kTuple);
  auto [error, size] = co_await http::async_read_header(connection.socket, connection.buffer, parser, kTuple);
  if (!error) co_return true;
  bool malformed = error.category() == make_error_code(http::error::bad_method).category() &&
                   error != http::error::end_of_stream && error != http::error::partial_message;
  result.end = malformed ? UpgradeEnd::kBadAnswer : UpgradeEnd::kNoAnswer;
  co_return false;
}

// The rest of an answer that is no 101.
Awaitable<> take_refusal(UpstreamConnection& connection, Parser& parser, UpstreamUpgradeResult& result) {
  auto [error, size] = co_await http::async_read(connection.socket, connection.buffer, parser, kTuple);
  if (error) {
    result.end = UpgradeEnd::kBadAnswer;
    co_return;
  }
  result.end = UpgradeEnd::kRefused;
  result.refusal_body = std::move(parser.get().body());
  result.refusal = std::move(parser.get().base());
}

}  // namespace

Awaitable<UpstreamUpgradeResult> upgrade_upstream(asio::any_io_executor executor,
                                                  const WebSocketTarget& target, const RelayLimits& limits,
                                                  ActiveRequest& active) {
  UpstreamUpgradeResult result;
  auto connection = std::make_unique<UpstreamConnection>(executor);
  active.set_upstream(&connection->socket);
  active.begin_phase(limits.connect);
  auto [refused] = co_await connection->socket.async_connect(target.server, kTuple);
  if (!refused && !active.aborted()) {
    tune(*connection);
    const std::string authority = authority_of(target.server), key = random_websocket_key();
    const UpstreamUpgrade upgrade{authority, target.request_id, target.target, key, target.protocols};
    const std::string head = upstream_upgrade_head(target.client, upgrade);
    active.begin_phase(kUpstreamHandshake);
    Parser parser;
    parser.header_limit(kLargestHead);
    parser.body_limit(kLargestRefusedUpgrade);
    bool answered = co_await exchange_heads(*connection, head, parser, result);
    if (answered && parser.get().result_int() != 101) {
      co_await take_refusal(*connection, parser, result);
    } else if (answered) {
      auto protocol = check_upstream_upgrade(parser.get().base(), upgrade);
      result.end = protocol ? UpgradeEnd::kOpen : UpgradeEnd::kBadAnswer;
      if (protocol)
        result.protocol = *protocol;
      else
        spdlog::warn("{}", protocol.error().message);
    }
  }
  active.end_phase();
  if (result.end == UpgradeEnd::kOpen)
    result.connection = std::move(connection);
  else
    active.set_upstream(nullptr);
  co_return result;
}

}  // namespace cppworker
