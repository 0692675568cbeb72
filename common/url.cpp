#include "common/url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace cppworker {

std::string Url::authority() const {
  bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Url::text() const {
  return (tls ? "https://" : "http://") + authority() + path;
}

bool Url::on_loopback() const {
  in_addr address{};
  bool ipv4 = host.starts_with("127.") && ::inet_pton(AF_INET, host.c_str(), &address) == 1;
  return ipv4 || host == "localhost" || host == "::1";
}

Result<Url> parse_url(std::string_view text) {
  // The text itself stays out of the messages: it may hold a password.
  Url url;
  if (text.starts_with("https://")) {
    url.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return fail("a URL must begin with http:// or https://");
  }
  if (text.find_first_of("?#@") != std::string_view::npos)
    return fail("a URL here can't have a user, a query or a fragment");
  auto forbidden = [](unsigned char c) { return c <= ' ' || c >= 0x7f; };
  if (std::any_of(text.begin(), text.end(), forbidden))
    return fail("a URL can't have blanks, control characters or non-ASCII ones");

  std::size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    url.path = text.substr(slash);
    while (url.path.ends_with('/')) url.path.pop_back();
    text = text.substr(0, slash);
  }
  std::string_view port;
  if (text.starts_with('[')) {
    std::size_t close = text.find(']');
    if (close == std::string_view::npos) return fail("a URL's IPv6 address must end in ']'");
    url.host = text.substr(1, close - 1);
    port = text.substr(close + 1);
  } else {
    std::size_t colon = text.find(':');
    url.host = text.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
  }
  if (url.host.empty()) return fail("a URL needs a host");
  url.port = url.tls ? 443 : 80;
  if (!port.empty()) {
    port.remove_prefix(1);
    auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (ec != std::errc{} || end != port.data() + port.size() || url.port == 0)
      return fail("a URL's port must be a number from 1 to 65535");
  }
  return url;
}

}  // namespace cppworker
