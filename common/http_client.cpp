#include "common/http_client.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/name_lookup.hpp"

namespace cppworker {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;

template <class Stream>
Awaitable<Result<HttpResponse>> exchange_on(Stream& stream, const HttpRequest& request,
                                            std::size_t largest_body) {
  http::request<http::string_body> message;
  message.method_string(request.method);
  message.target(request.target);
  message.version(11);
  message.set(http::field::host, request.server.authority());
  message.set(http::field::user_agent, "cppworker/" CPPWORKER_VERSION);
  message.set(http::field::accept, "*/*");
  message.keep_alive(false);
  if (!request.content_type.empty()) message.set(http::field::content_type, request.content_type);
  for (const auto& [name, value] : request.headers) message.set(name, value);
  message.body() = request.body;
  message.prepare_payload();

  auto [write_error, written] = co_await http::async_write(stream, message, kTuple);
  if (write_error) co_return fail("cannot send the request: " + write_error.message());

  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(largest_body);
  auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kTuple);
  if (read_error) co_return fail("cannot read the answer: " + read_error.message());

  HttpResponse response;
  response.status = parser.get().result_int();
  response.content_type = std::string(parser.get()[http::field::content_type]);
  response.body = std::move(parser.get().body());
  co_return response;
}

ssl::context& client_tls() {
  static ssl::context context = [] {
    ssl::context made(ssl::context::tls_client);
    made.set_default_verify_paths();
    SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_2_VERSION);
    return made;
  }();
  return context;
}

Awaitable<Result<HttpResponse>> exchange(HttpRequest request, std::size_t largest_body, NameService names) {
  std::string host = request.server.host;
  Result<Addresses> addresses = co_await look_up(std::move(host), std::move(names));
  if (!addresses) co_return addresses.error();
  std::vector<tcp::endpoint> endpoints;
  for (const auto& address : *addresses) endpoints.emplace_back(address, request.server.port);

  tcp::socket socket(co_await asio::this_coro::executor);
  auto [connect_error, endpoint] = co_await asio::async_connect(socket, endpoints, kTuple);
  if (connect_error)
    co_return fail("cannot connect to " + request.server.authority() + ": " + connect_error.message());

  if (!request.server.tls) co_return co_await exchange_on(socket, request, largest_body);

  ssl::stream<tcp::socket> stream(std::move(socket), client_tls());
  SSL_set_tlsext_host_name(stream.native_handle(), request.server.host.c_str());
  stream.set_verify_mode(ssl::verify_peer);
  stream.set_verify_callback(ssl::host_name_verification(request.server.host));
  auto [handshake_error] = co_await stream.async_handshake(ssl::stream_base::client, kTuple);
  if (handshake_error)
    co_return fail("cannot make a TLS connection to " + request.server.authority() + ": " +
                   handshake_error.message());
  co_return co_await exchange_on(stream, request, largest_body);
}

}  // namespace

Awaitable<Result<HttpResponse>> http_exchange(HttpRequest request, std::chrono::milliseconds limit,
                                              std::size_t largest_body, NameService names) {
  std::string server = request.server.authority();
  auto result = co_await with_deadline(exchange(std::move(request), largest_body, std::move(names)), limit);
  if (!result)
    co_return fail("no answer from " + server + " within " + std::to_string(limit.count()) + " ms");
  co_return std::move(*result);
}

}  // namespace cppworker
