#include "supervisor/admin_server.hpp"

#include <memory>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/logging.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;

// Scrapers and probes send a few headers and read at once.
constexpr std::chrono::seconds kExchangeLimit{10};
constexpr std::uint32_t kLargestHead = 8 * 1024;
// More than this at a time is no operator: further ones are closed at once.
constexpr int kMostConnections = 64;

AdminAnswer answer_for(const http::request<http::empty_body>& request, const AdminPages& pages) {
  if (request.method() != http::verb::get && request.method() != http::verb::head)
    return {405, "application/json", R"({"error":"admin: only GET and HEAD"})"};
  std::string_view target(request.target().data(), request.target().size());
  auto page = pages.find(target.substr(0, target.find('?')));
  if (page == pages.end()) return {404, "application/json", R"({"error":"admin: no such page"})"};
  try {
    return page->second();
  } catch (const std::exception& error) {
    // A bug, but not one that may end the supervisor, or leave whoever asked without an answer.
    spdlog::error("admin: cannot make the page {}: {}", page->first, printable(error.what()));
    return {500, "application/json", R"({"error":"admin: cannot make this page"})"};
  }
}

template <class Socket>
Awaitable<bool> serve(Socket& socket, const AdminPages& pages) {
  boost::beast::flat_buffer buffer;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kLargestHead);
  auto [read_error, read] = co_await http::async_read(socket, buffer, parser, kTuple);
  if (read_error) co_return false;
  AdminAnswer answer = answer_for(parser.get(), pages);
  http::response<http::string_body> response(http::int_to_status(static_cast<unsigned>(answer.status)), 11);
  response.set(http::field::content_type, answer.content_type);
  response.set(http::field::cache_control, "no-store");
  if (answer.status == 405) response.set(http::field::allow, "GET, HEAD");
  response.keep_alive(false);
  response.body() = std::move(answer.body);
  response.prepare_payload();
  if (parser.get().method() == http::verb::head) response.body().clear();
  auto [write_error, written] = co_await http::async_write(socket, response, kTuple);
  boost::system::error_code ignored;
  socket.shutdown(asio::socket_base::shutdown_send, ignored);
  co_return !write_error;
}

template <class Socket>
Awaitable<> run_session(Socket socket, std::shared_ptr<const AdminPages> pages) {
  co_await with_deadline(serve(socket, *pages), kExchangeLimit);
}

template <class Acceptor>
Awaitable<> accept_and_serve(Acceptor& acceptor, AdminPages pages) {
  auto shared = std::make_shared<const AdminPages>(std::move(pages));
  auto open = std::make_shared<int>(0);
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors, most likely: accepting again at once would spin.
      co_await sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    if (*open >= kMostConnections) continue;
    ++*open;
    // Whatever else is thrown on the way, by want of memory say, ends the connection alone.
    asio::co_spawn(acceptor.get_executor(), run_session(std::move(socket), shared),
                   [open](std::exception_ptr failure) {
                     --*open;
                     if (failure) spdlog::error("admin: a request failed unexpectedly");
                   });
  }
}

}  // namespace

Result<tcp::acceptor> open_listener(asio::io_context& io, const std::string& address, std::uint16_t port) {
  std::string place = address + ":" + std::to_string(port);
  boost::system::error_code error;
  auto ip = asio::ip::make_address(address, error);
  if (error) return fail("cannot listen on " + place + ": the address must be an IP address");
  tcp::acceptor acceptor(io);
  tcp::endpoint endpoint(ip, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error)
    return fail("cannot listen on " + place + ": " + error.message() +
                "; another worker may run here, or choose another port");
  return acceptor;
}

Awaitable<> run_admin_server(tcp::acceptor& acceptor, AdminPages pages) {
  return accept_and_serve(acceptor, std::move(pages));
}

Awaitable<> run_admin_server(asio::local::stream_protocol::acceptor& acceptor, AdminPages pages) {
  return accept_and_serve(acceptor, std::move(pages));
}

}  // namespace cppworker
