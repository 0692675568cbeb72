// Requests of a test as bytes on a connection, without a client library between the test and what it looks
// at.
#pragma once

#include <cstdint>
#include <string>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <nlohmann/json.hpp>

#include "common/async.hpp"

namespace cppworker::stand_ins {

// Everything that came back until the server closed, and how it closed.
struct Reply {
  std::string text;
  bool reset = false;  // instead of an orderly end

  std::string body() const;  // what follows the head, as it is on the wire
  nlohmann::json parsed() const { return nlohmann::json::parse(body()); }
};

Reply read_all(asio::ip::tcp::socket& socket);

// A connection to 127.0.0.1 on which the text was sent.
asio::ip::tcp::socket send(asio::io_context& io, std::uint16_t port, const std::string& text);

// An HTTP/1.1 request with a JSON body that asks for the connection to be closed.
std::string post_text(const std::string& path, const std::string& body);

Reply post(std::uint16_t port, const std::string& path, const std::string& body);
Reply get(std::uint16_t port, const std::string& target);

// A new folder under GoogleTest's.
std::string temporary_folder();

}  // namespace cppworker::stand_ins
