// The opening handshakes of a WebSocket (RFC 6455 section 4): the client's with the proxy, and the proxy's
// with the inference server. Pure text building and checking; keys come from the random generator.
//
// They are two handshakes, each with a key of its own, since the client may have to be answered before
// anything is known of the inference server: who authenticates by the first message can send it only after
// the 101. No extension is agreed upon on either side: the proxy frames the first message anew, and with
// permessage-deflate it would have to compress it. After that the bytes of one side suit the other.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <boost/system/result.hpp>

#include "common/result.hpp"
#include "proxy/message_heads.hpp"

namespace cppworker {

// Whether the client wants a WebSocket at all. HTTP/1.0 has no Upgrade (RFC 9110 section 7.8).
bool asks_for_websocket(const RequestHead& client);

struct ClientUpgrade {
  std::string accept;  // Sec-WebSocket-Accept, for the answer
  // As offered, best first. An answer without one makes browsers close; one has to be chosen before the
  // inference server is asked when the first message authenticates: the first, and only that is offered on.
  std::vector<std::string> protocols;
};

// A handshake that isn't one, or not of this version.
struct UpgradeRefusal {
  int status = 0;         // 400, 405 or 426
  std::string_view text;  // says what is wrong, repeats nothing of the client's
};
using ClientUpgradeResult = boost::system::result<ClientUpgrade, UpgradeRefusal>;
[[noreturn]] void throw_exception_from_error(const UpgradeRefusal& refusal, const boost::source_location&);

ClientUpgradeResult check_client_upgrade(const RequestHead& client);

// The whole answers to the client. `protocol` is the one that was agreed upon; empty: none. 426 says which
// version would do.
std::string upgrade_response(std::string_view accept, std::string_view protocol, std::string_view request_id);
std::string upgrade_refusal_response(const UpgradeRefusal& refusal, bool keep_alive,
                                     std::string_view request_id);

// 16 random bytes in base64, and what the other side must make of them.
std::string random_websocket_key();
std::string websocket_accept(std::string_view key);

struct UpstreamUpgrade {
  std::string_view authority;   // "127.0.0.1:5001"
  std::string_view request_id;  // as in UpstreamRequest
  std::string_view target;      // without the auth members; api_key is taken out here
  std::string_view key;         // fresh: random_websocket_key()
  std::span<const std::string> protocols;
};
// The client's headers as every request has them forwarded, and a handshake of the proxy's own.
std::string upstream_upgrade_head(const RequestHead& client, const UpstreamUpgrade& upgrade);

// The inference server's answer: the protocol that it chose, empty when none. An answer with another status
// than 101 is an error here; who wants to pass it on looks at the status first.
Result<std::string> check_upstream_upgrade(const ResponseHead& upstream, const UpstreamUpgrade& upgrade);

}  // namespace cppworker
