// A blocking HTTP client for tests: one request a connection, the response whole or piece by piece.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

namespace cppworker::testing {

struct Reply {
  int status = 0;  // 0: the connection ended without a whole response
  boost::beast::http::fields headers;
  std::string body;

  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
  std::string header(std::string_view name) const {
    return std::string(headers[boost::beast::string_view(name.data(), name.size())]);
  }
};

Reply get(std::uint16_t port, const std::string& target);
Reply post(std::uint16_t port, const std::string& target, const std::string& body);
// Somebody listens at this address.
bool accepts(const std::string& address, std::uint16_t port);
// The bytes as they are, then everything until the connection ends.
std::string exchange_raw(std::uint16_t port, std::string_view bytes);

struct Piece {
  std::chrono::steady_clock::time_point arrived;
  std::string bytes;
};
// A POST whose response is recorded as it arrives (body bytes without chunk frames).
struct Streamed {
  int status = 0;
  std::string content_type;
  bool complete = false;
  std::vector<Piece> pieces;
};
Streamed post_streamed(std::uint16_t port, const std::string& target, const std::string& body);

// A port that nobody listens on now, nor on the next one.
std::uint16_t free_port_pair();

}  // namespace cppworker::testing
