#include "test_http.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace cppworker::testing {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

tcp::endpoint loopback(std::uint16_t port) {
  return {asio::ip::address_v4::loopback(), port};
}

http::request<http::string_body> make_request(http::verb verb, const std::string& target,
                                              const std::string& body) {
  http::request<http::string_body> request(verb, target, 11, body);
  request.set(http::field::host, "test");
  if (verb == http::verb::post) request.set(http::field::content_type, "application/json");
  request.keep_alive(false);
  request.prepare_payload();
  return request;
}

Reply run_exchange(std::uint16_t port, const http::request<http::string_body>& request) {
  asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect(loopback(port), error);
  Reply reply;
  if (error) return reply;
  http::write(socket, request, error);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  http::read(socket, buffer, parser, error);
  if (error) return reply;
  reply.status = static_cast<int>(parser.get().result_int());
  reply.headers = parser.get().base();
  reply.body = std::move(parser.get().body());
  return reply;
}

}  // namespace

Reply get(std::uint16_t port, const std::string& target) {
  return run_exchange(port, make_request(http::verb::get, target, ""));
}

Reply post(std::uint16_t port, const std::string& target, const std::string& body) {
  return run_exchange(port, make_request(http::verb::post, target, body));
}

bool accepts(const std::string& address, std::uint16_t port) {
  asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({asio::ip::make_address(address), port}, error);
  return !error;
}

std::string exchange_raw(std::uint16_t port, std::string_view bytes) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect(loopback(port));
  boost::system::error_code error;
  asio::write(socket, asio::buffer(bytes.data(), bytes.size()), error);
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), error);
  return answer;
}

Streamed post_streamed(std::uint16_t port, const std::string& target, const std::string& body) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect(loopback(port));
  http::write(socket, make_request(http::verb::post, target, body));
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  Streamed streamed;
  boost::system::error_code error;
  http::read_header(socket, buffer, parser, error);
  if (error) return streamed;
  streamed.status = static_cast<int>(parser.get().result_int());
  streamed.content_type = std::string(parser.get()[http::field::content_type]);
  char bytes[16384];
  while (!parser.is_done()) {
    parser.get().body().data = bytes;
    parser.get().body().size = sizeof bytes;
    http::read_some(socket, buffer, parser, error);
    std::size_t size = sizeof bytes - parser.get().body().size;
    if (size > 0) streamed.pieces.push_back({std::chrono::steady_clock::now(), std::string(bytes, size)});
    if (error && error != http::error::need_buffer) return streamed;
  }
  streamed.complete = true;
  return streamed;
}

std::uint16_t free_port_pair() {
  asio::io_context io;
  while (true) {
    tcp::acceptor first(io, loopback(0));
    const auto next = static_cast<std::uint16_t>(first.local_endpoint().port() + 1);
    tcp::acceptor second(io, tcp::v4());
    boost::system::error_code taken;
    if (next != 0) second.bind(loopback(next), taken);
    if (next != 0 && !taken) return first.local_endpoint().port();
  }
}

}  // namespace cppworker::testing
