#include "tests/stand_ins/wire.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <stdexcept>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace cppworker::stand_ins {

using asio::ip::tcp;

std::string Reply::body() const {
  return text.substr(std::min(text.size(), text.find("\r\n\r\n") + 4));
}

Reply read_all(tcp::socket& socket) {
  Reply reply;
  boost::system::error_code ec;
  asio::read(socket, asio::dynamic_buffer(reply.text), ec);
  reply.reset = ec == asio::error::connection_reset;
  return reply;
}

tcp::socket send(asio::io_context& io, std::uint16_t port, const std::string& text) {
  tcp::socket socket(io);
  socket.connect({asio::ip::address_v4::loopback(), port});
  asio::write(socket, asio::buffer(text));
  return socket;
}

std::string post_text(const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Reply post(std::uint16_t port, const std::string& path, const std::string& body) {
  asio::io_context io;
  tcp::socket socket = send(io, port, post_text(path, body));
  return read_all(socket);
}

Reply get(std::uint16_t port, const std::string& target) {
  asio::io_context io;
  tcp::socket socket = send(io, port, "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return read_all(socket);
}

std::string temporary_folder() {
  std::string name = ::testing::TempDir() + "stand_ins.XXXXXX";
  if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
  return name;
}

}  // namespace cppworker::stand_ins
