// The bytes of a client's connection, plain or under TLS: an AsyncStream that the parser, the relay and the
// error answers use without knowing which.
//
// One read and one write may be under way at once, from the connection's thread. Cancelling the socket ends
// both with operation_aborted; under TLS nothing can be written after a write that was (tls_stream.hpp).
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <boost/asio/ip/tcp.hpp>

#include "common/async.hpp"
#include "proxy/tls_context.hpp"
#include "proxy/tls_stream.hpp"

namespace cppworker {

class ClientStream {
 public:
  using executor_type = asio::ip::tcp::socket::executor_type;

  // Without `tls` the bytes are plain. The context lives as long as the connection that began with it.
  ClientStream(asio::ip::tcp::socket socket, TlsContext tls)
      : socket_(std::move(socket)), context_(std::move(tls)) {
    if (context_) tls_.emplace(socket_, context_->native_handle());
  }

  // The TLS stream refers to the socket beside it.
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  // Below TLS: for waiting, cancelling, options and closing.
  asio::ip::tcp::socket& socket() { return socket_; }
  const asio::ip::tcp::socket& socket() const { return socket_; }
  bool is_tls() const { return tls_.has_value(); }

  // Once, before anything else; nothing to do without TLS.
  Awaitable<boost::system::error_code> handshake() {
    if (!tls_) co_return boost::system::error_code{};
    auto [error, nothing] = co_await tls_->async_handshake(kTuple);
    co_return error;
  }

  // Until there is something to read, be it the end. What is idle needs no buffer for that.
  Awaitable<boost::system::error_code> wait_for_bytes() {
    if (tls_ && tls_->holds_bytes()) co_return boost::system::error_code{};
    auto [error] = co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, kTuple);
    co_return error;
  }

  // Says to the client that nothing more comes: its body, where the connection's end marks it, is whole.
  Awaitable<> shut_down_writing() {
    boost::system::error_code ignored;
    if (tls_) co_await tls_->async_shutdown(kTuple);
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, Buffers into) {
          if (tls_)
            tls_->async_read_some(first_of<asio::mutable_buffer>(into), std::move(handler));
          else
            socket_.async_read_some(into, std::move(handler));
        },
        token, buffers);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, Buffers from) {
          if (tls_)
            tls_->async_write_some(first_of<asio::const_buffer>(from), std::move(handler));
          else
            socket_.async_write_some(from, std::move(handler));
        },
        token, buffers);
  }

 private:
  // Of a sequence, the first that isn't empty.
  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at)
      if (Buffer buffer(*at); buffer.size() > 0) return buffer;
    return {};
  }

  asio::ip::tcp::socket socket_;
  TlsContext context_;
  std::optional<TlsStream> tls_;
};

}  // namespace cppworker
