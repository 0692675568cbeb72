#include "proxy/websocket_handshake.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <boost/beast/http/rfc7230.hpp>

#include "proxy/base64.hpp"
#include "proxy/error_response.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kVersion = "13";
constexpr std::size_t kKeyBytes = 16;
// RFC 6455 section 1.3: shows that the answer was made for a WebSocket.
constexpr std::string_view kAcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
// More than any client offers; each is repeated to the inference server.
constexpr std::size_t kMostProtocols = 16;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Whether a header, which may come in several lines, lists the token; letter case doesn't matter.
bool lists(const http::fields& fields, http::field name, boost::beast::string_view token) {
  auto [first, last] = fields.equal_range(name);
  return std::any_of(first, last,
                     [&](const auto& field) { return http::token_list{field.value()}.exists(token); });
}

// The value of a header that must come once; nullopt when it doesn't.
std::optional<std::string_view> only_value(const http::fields& fields, http::field name) {
  auto [first, last] = fields.equal_range(name);
  if (first == last || std::next(first) != last) return std::nullopt;
  return view(first->value());
}

bool is_key(std::string_view text) {
  std::array<unsigned char, kKeyBytes> bytes;
  return decode_base64(text, bytes) == kKeyBytes;
}

std::string encode_base64(std::span<const unsigned char> bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock adds a zero byte
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(),
                             static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

// Tokens, each once (section 4.1, item 10); nullopt when they aren't.
std::optional<std::vector<std::string>> offered_protocols(const RequestHead& client) {
  std::vector<std::string> protocols;
  bool good = true;
  client.for_each(HeaderName::kSecWebSocketProtocol, [&](std::string_view value) {
    http::opt_token_list list{{value.data(), value.size()}};
    good = good && http::validate_list(list);
    if (!good) return;
    for (auto token : list) {
      std::string name(token);
      bool repeated = std::find(protocols.begin(), protocols.end(), name) != protocols.end();
      good = !repeated && protocols.size() < kMostProtocols;
      if (!good) return;
      protocols.push_back(std::move(name));
    }
  });
  return good ? std::optional(std::move(protocols)) : std::nullopt;
}

}  // namespace

void throw_exception_from_error(const UpgradeRefusal& refusal, const boost::source_location&) {
  throw std::logic_error("unchecked error of a handshake: " + std::string(refusal.text));
}

bool asks_for_websocket(const RequestHead& client) {
  return !client.is_http_1_0() && client.lists(HeaderName::kUpgrade, "websocket");
}

ClientUpgradeResult check_client_upgrade(const RequestHead& client) {
  if (!client.is_get()) return UpgradeRefusal{405, "proxy: a WebSocket begins with GET"};
  if (!asks_for_websocket(client)) return UpgradeRefusal{426, "proxy: this endpoint is a WebSocket"};
  if (!client.lists(HeaderName::kConnection, "upgrade"))
    return UpgradeRefusal{400, "proxy: the Connection header doesn't name the upgrade"};
  // Its bytes would be read as frames by one server and as a body by another.
  if (client.has_body()) return UpgradeRefusal{400, "proxy: a WebSocket's request has no body"};
  if (client.only(HeaderName::kSecWebSocketVersion) != kVersion)
    return UpgradeRefusal{426, "proxy: version 13 of WebSocket is spoken here"};
  auto key = client.only(HeaderName::kSecWebSocketKey);
  if (!key || !is_key(*key)) return UpgradeRefusal{400, "proxy: Sec-WebSocket-Key isn't 16 bytes in base64"};
  auto protocols = offered_protocols(client);
  if (!protocols) return UpgradeRefusal{400, "proxy: Sec-WebSocket-Protocol isn't a list of names"};
  return ClientUpgrade{websocket_accept(*key), *std::move(protocols)};
}

std::string upgrade_response(std::string_view accept, std::string_view protocol,
                             std::string_view request_id) {
  std::string out = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
  out.append("\r\nSec-WebSocket-Accept: ").append(accept);
  if (!protocol.empty()) out.append("\r\nSec-WebSocket-Protocol: ").append(protocol);
  out.append("\r\nX-Request-Id: ").append(request_id).append("\r\n\r\n");
  return out;
}

std::string upgrade_refusal_response(const UpgradeRefusal& refusal, bool keep_alive,
                                     std::string_view request_id) {
  Refusal answer = refuse(refusal.status, refusal.text);
  if (refusal.status == 405) answer.allow = "GET";
  std::string out = refusal_response(answer, keep_alive, request_id);
  if (refusal.status == 426) {
    // RFC 9110 section 15.5.22 and RFC 6455 section 4.4. Connection is a list: two lines of it are one.
    constexpr std::string_view kMore =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    out.insert(out.find("\r\n") + 2, kMore);
  }
  return out;
}

std::string random_websocket_key() {
  std::array<unsigned char, kKeyBytes> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::runtime_error("cannot make a key: the random generator failed");
  return encode_base64(bytes);
}

std::string websocket_accept(std::string_view key) {
  std::string text(key);
  text += kAcceptSuffix;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  // SHA-1 is what the RFC has; nothing rests on its strength.
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1)
    throw std::runtime_error("cannot answer a handshake: SHA-1 isn't available");
  return encode_base64(std::span(digest).first(size));
}

std::string upstream_upgrade_head(const RequestHead& client, const UpstreamUpgrade& upgrade) {
  UpstreamRequest request;
  request.authority = upgrade.authority;
  request.request_id = upgrade.request_id;
  request.has_body = false;
  request.handshake = true;
  request.target = upgrade.target;
  std::string out = upstream_request_head(client, request);
  out.resize(out.size() - 2);  // the empty line at its end
  out += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
  out += upgrade.key;
  const char* separator = "\r\nSec-WebSocket-Protocol: ";
  for (const std::string& protocol : upgrade.protocols) {
    out.append(separator).append(protocol);
    separator = ", ";
  }
  out += "\r\n\r\n";
  return out;
}

Result<std::string> check_upstream_upgrade(const ResponseHead& upstream, const UpstreamUpgrade& upgrade) {
  auto wrong = [](std::string_view cause) {
    return fail("cannot open a WebSocket to the inference server: " + std::string(cause));
  };
  if (upstream.result_int() != 101)
    return wrong("it answered with status " + std::to_string(upstream.result_int()));
  bool upgraded = lists(upstream, http::field::upgrade, "websocket") &&
                  lists(upstream, http::field::connection, "upgrade");
  if (!upgraded) return wrong("its answer doesn't name the upgrade");
  if (only_value(upstream, http::field::sec_websocket_accept) != websocket_accept(upgrade.key))
    return wrong("its Sec-WebSocket-Accept is wrong");
  if (upstream.find(http::field::sec_websocket_extensions) != upstream.end())
    return wrong("it uses an extension that wasn't offered");
  if (upstream.find(http::field::sec_websocket_protocol) == upstream.end()) return std::string();
  auto chosen = only_value(upstream, http::field::sec_websocket_protocol);
  auto offered = upgrade.protocols;
  if (!chosen || std::find(offered.begin(), offered.end(), *chosen) == offered.end())
    return wrong("it chose a protocol that wasn't offered");
  return std::string(*chosen);
}

}  // namespace cppworker
