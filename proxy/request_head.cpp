#include "proxy/request_head.hpp"

#include <array>
#include <bit>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace cppworker {
namespace {

struct Spelled {
  std::string_view name;
  HeaderName id;
};
constexpr std::array kNames = {
    Spelled{"accept-encoding", HeaderName::kAcceptEncoding},
    Spelled{"authorization", HeaderName::kAuthorization},
    Spelled{"connection", HeaderName::kConnection},
    Spelled{"content-length", HeaderName::kContentLength},
    Spelled{"expect", HeaderName::kExpect},
    Spelled{"host", HeaderName::kHost},
    Spelled{"keep-alive", HeaderName::kKeepAlive},
    Spelled{"proxy-authenticate", HeaderName::kProxyAuthenticate},
    Spelled{"proxy-authorization", HeaderName::kProxyAuthorization},
    Spelled{"proxy-connection", HeaderName::kProxyConnection},
    Spelled{"sec-websocket-accept", HeaderName::kSecWebSocketAccept},
    Spelled{"sec-websocket-extensions", HeaderName::kSecWebSocketExtensions},
    Spelled{"sec-websocket-key", HeaderName::kSecWebSocketKey},
    Spelled{"sec-websocket-protocol", HeaderName::kSecWebSocketProtocol},
    Spelled{"sec-websocket-version", HeaderName::kSecWebSocketVersion},
    Spelled{"te", HeaderName::kTe},
    Spelled{"trailer", HeaderName::kTrailer},
    Spelled{"transfer-encoding", HeaderName::kTransferEncoding},
    Spelled{"upgrade", HeaderName::kUpgrade},
    Spelled{"x-request-id", HeaderName::kXRequestId},
};

constexpr std::size_t kLongestName = [] {
  std::size_t longest = 0;
  for (const Spelled& spelled : kNames) longest = std::max(longest, spelled.name.size());
  return longest;
}();

// Names of each size as bits over kNames: nearly every header is told from all of them by its size and its
// first letter.
constexpr std::array<std::uint32_t, kLongestName + 1> kOfSize = [] {
  std::array<std::uint32_t, kLongestName + 1> of_size{};
  for (std::size_t i = 0; i < kNames.size(); ++i) of_size[kNames[i].name.size()] |= 1U << i;
  return of_size;
}();

}  // namespace

HeaderName header_name(std::string_view name) {
  if (name.size() > kLongestName || name.empty()) return HeaderName::kOther;
  for (std::uint32_t left = kOfSize[name.size()]; left != 0; left &= left - 1) {
    const Spelled& spelled = kNames[static_cast<std::size_t>(std::countr_zero(left))];
    if ((name.front() | 0x20) != spelled.name.front()) continue;
    if (boost::beast::iequals({name.data(), name.size()}, {spelled.name.data(), spelled.name.size()}))
      return spelled.id;
  }
  return HeaderName::kOther;
}

bool RequestHead::keep_alive() const {
  if (lists(HeaderName::kConnection, "close")) return false;
  return !http_1_0_ || lists(HeaderName::kConnection, "keep-alive");
}

bool RequestHead::lists(HeaderName id, std::string_view token) const {
  bool found = false;
  for_each(id, [&](std::string_view value) {
    boost::beast::http::token_list list{{value.data(), value.size()}};
    found = found || list.exists({token.data(), token.size()});
  });
  return found;
}

std::optional<std::string_view> RequestHead::only(HeaderName id) const {
  const Line* found = find(id);
  if (found == nullptr) return std::nullopt;
  bool again =
      std::any_of(found + 1, lines_.data() + lines_.size(), [id](const Line& line) { return line.id == id; });
  return again ? std::nullopt : std::optional(view(found->value));
}

}  // namespace cppworker
