// Requests as a connection reads them from its socket, against a strict reader of RFC 9112 that is written
// here once more. What one takes for a body and the other for a request would be a way past the signature
// check: so the bodies must be the same, one after the other, however the bytes arrive.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "proxy/connection.hpp"
#include "proxy/request_head_check.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
inline constexpr std::uint64_t kMostBody = 4096;
inline constexpr std::size_t kMostInput = 8192;  // fits into the socket's buffer at once

struct Requests {
  std::vector<std::string> bodies;
  bool refused = false;
};

inline Awaitable<> serve(std::shared_ptr<Connection> connection, Requests& seen) {
  while (true) {
    auto refusal = co_await connection->read_head();
    if (!refusal) refusal = co_await connection->read_body(kMostBody);
    if (refusal) {
      seen.refused = refusal->status != 0;
      break;
    }
    seen.bodies.emplace_back(connection->body());
    bool keep_alive = connection->wants_keep_alive();
    connection->finish_request();
    if (!keep_alive) break;
  }
  connection->close();
}

inline Requests by_connection(std::string_view input, std::size_t step) {
  int ends[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
          "there are sockets");
  asio::io_context io(1);
  DeadlineTicker ticker;
  MemoryBudget bodies(1 << 20);
  ClientShares clients(bodies, std::nullopt);
  ConnectionLimits limits;
  asio::ip::tcp::socket socket(io);
  socket.assign(asio::ip::tcp::v4(), ends[0]);
  Requests seen;
  {
    auto connection =
        std::make_shared<Connection>(std::move(socket), nullptr, limits, clients.enter_uncounted(), ticker);
    asio::co_spawn(io, serve(connection, seen),
                   [](std::exception_ptr error) { require(!error, "nothing throws"); });
  }
  while (!input.empty()) {
    std::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    if (::send(ends[1], piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;  // it was closed
    io.poll();
  }
  ::shutdown(ends[1], SHUT_WR);
  io.run();
  ::close(ends[1]);
  require(bodies.used() == 0, "the memory of bodies is given back");
  return seen;
}

// ---- the other reader

inline std::optional<std::string_view> take_line(std::string_view& text) {
  std::size_t end = text.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

inline std::optional<std::string> chunked_body(std::string_view& text) {
  std::string body;
  while (true) {
    auto line = take_line(text);
    if (!line) return std::nullopt;
    std::size_t digits = line->find_first_not_of("0123456789abcdefABCDEF");
    std::string size_text(line->substr(0, digits));
    if (size_text.empty() || size_text.size() > 16) return std::nullopt;
    std::uint64_t size = std::stoull(size_text, nullptr, 16);
    if (size == 0) break;
    if (size > text.size() || text.size() - size < 2 || text.substr(size, 2) != "\r\n") return std::nullopt;
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
  while (auto trailer = take_line(text)) {
    if (trailer->empty()) return body;
    if (trailer->front() == ' ' || trailer->front() == '\t') break;  // folded
  }
  return std::nullopt;
}

// Up to the first request that isn't whole and good.
inline std::vector<std::string> by_the_rules(std::string_view text) {
  std::vector<std::string> bodies;
  while (true) {
    while (text.starts_with("\r\n")) text.remove_prefix(2);
    std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos || !read_request_head(text.substr(0, end + 4))) return bodies;
    std::string_view head = text.substr(0, end + 2);
    text.remove_prefix(end + 4);
    take_line(head);
    std::uint64_t length = 0;
    bool chunked = false;
    while (auto line = take_line(head)) {
      std::string header = lower(*line);
      if (header.starts_with("transfer-encoding:")) chunked = true;
      if (header.starts_with("content-length:")) length = std::stoull(header.substr(15));
    }
    if (chunked) {
      auto body = chunked_body(text);
      if (!body) return bodies;
      bodies.push_back(*body);
    } else {
      if (length > text.size()) return bodies;
      bodies.emplace_back(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
}

inline void check_requests(std::string_view input) {
  input = input.substr(0, kMostInput);
  Requests at_once = by_connection(input, input.size());
  // It may stop sooner (the client asks for the end, a body is too large), but it never sees anything else.
  std::vector<std::string> expected = by_the_rules(input);
  require(at_once.bodies.size() <= expected.size(), "no request is seen that isn't there");
  expected.resize(at_once.bodies.size());
  require(at_once.bodies == expected, "each request has its own body");
  for (std::size_t step : {1, 11}) {
    Requests in_pieces = by_connection(input, step);
    require(in_pieces.bodies == at_once.bodies, "the same requests come in pieces");
    require(in_pieces.refused == at_once.refused, "and the same refusal");
  }
}

}  // namespace cppworker::fuzz
