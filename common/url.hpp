// An absolute http or https URL, taken apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace cppworker {

struct Url {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
  std::string path;  // begins with '/', or is empty; without a trailing '/'

  // "host:port", with brackets around an IPv6 address: the value of a Host header.
  std::string authority() const;
  // "http://host:port/path": for messages. User, password, query and fragment are refused when reading, so
  // this can't show a secret.
  std::string text() const;
  // Whether the host is "localhost" or an address of this machine alone (127.0.0.0/8, ::1). A name that only
  // looks like one ("127.example") may be anybody's.
  bool on_loopback() const;
};

Result<Url> parse_url(std::string_view text);

}  // namespace cppworker
