#include "proxy/tls_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <boost/asio/ssl/error.hpp>

namespace cppworker {
namespace {

using boost::system::error_code;

int note_retry(BIO* bio, ssize_t moved, int direction) {
  BIO_clear_retry_flags(bio);
  if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(moved);
}

// Nothing is held back here: a flush is done when it is asked for.
long control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

error_code failure(int reason) {
  const int system_error = errno;
  const unsigned long queued = ERR_get_error();
  if (reason == SSL_ERROR_ZERO_RETURN) return asio::error::eof;
  if (ERR_GET_REASON(queued) == SSL_R_UNEXPECTED_EOF_WHILE_READING) return asio::ssl::error::stream_truncated;
  if (queued != 0) return {static_cast<int>(queued), asio::error::get_ssl_category()};
  if (system_error != 0) return {system_error, boost::system::system_category()};
  return asio::ssl::error::stream_truncated;
}

}  // namespace

// The socket as OpenSSL reads and writes it. Its own BIO for sockets writes without MSG_NOSIGNAL: a client
// that has left would end the process. The descriptor is asked for anew each time: once the socket is closed,
// its number may be another connection's.

int TlsStream::read_socket(BIO* bio, char* into, int size) {
  const Wire& wire = *static_cast<const Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wire.asides > kMostAsides) {
    errno = EPROTO;
    return -1;
  }
  const ssize_t got = ::recv(wire.socket.native_handle(), into, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got == 0) errno = 0;
  return note_retry(bio, got, BIO_FLAGS_READ);
}

int TlsStream::write_socket(BIO* bio, const char* from, int size) {
  const Wire& wire = *static_cast<const Wire*>(BIO_get_data(bio));
  const ssize_t sent =
      ::send(wire.socket.native_handle(), from, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  return note_retry(bio, sent, BIO_FLAGS_WRITE);
}

const BIO_METHOD* TlsStream::socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "socket");
    if (made == nullptr) throw std::bad_alloc();
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

// Called for each record, and more. What a record of TLS 1.3 is stands encrypted in it: it looks like data
// from outside, and is told apart by a call of its own.
void TlsStream::see_record(int written, int, int kind, const void* text, std::size_t size, SSL* ssl,
                           void* wire) {
  const bool tells_type = kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE;
  if (written != 0 || !tells_type || size == 0 || !SSL_is_init_finished(ssl)) return;
  if (*static_cast<const unsigned char*>(text) != SSL3_RT_APPLICATION_DATA)
    ++static_cast<Wire*>(wire)->asides;
}

TlsStream::TlsStream(Socket& socket, SSL_CTX* context) : socket_(socket), ssl_(SSL_new(context)) {
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(socket_method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, &wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_msg_callback(ssl_.get(), see_record);
  SSL_set_msg_callback_arg(ssl_.get(), &wire_);
  SSL_set_accept_state(ssl_.get());
}

TlsStream::Step TlsStream::attempt(const Work& work) {
  SSL* ssl = ssl_.get();
  const int size = static_cast<int>(std::min<std::size_t>(work.size, INT_MAX));
  ERR_clear_error();
  errno = 0;
  int result = 0;
  switch (work.kind) {
    case Kind::kHandshake:
      result = SSL_accept(ssl);
      break;
    case Kind::kRead:
      if (size == 0) return {};
      result = SSL_read(ssl, work.data, size);
      break;
    case Kind::kWrite:
      if (size == 0) return {};
      // One before it was cancelled half-way: OpenSSL would take this one for the rest of that.
      if (!work.begun && write_unfinished_) return {Next::kDone, asio::error::broken_pipe, 0};
      result = SSL_write(ssl, work.data, size);
      write_unfinished_ = result <= 0;
      break;
    case Kind::kShutdown:
      if (write_unfinished_) return {Next::kDone, asio::error::broken_pipe, 0};
      result = SSL_shutdown(ssl);
      if (result == 0) return {};  // sent; the client's own hasn't come
      break;
  }
  if (result > 0) return {Next::kDone, {}, static_cast<std::size_t>(result)};
  switch (const int reason = SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
      return {Next::kWaitReadable};
    case SSL_ERROR_WANT_WRITE:
      return {Next::kWaitWritable};
    default:
      return {Next::kDone, failure(reason), 0};
  }
}

}  // namespace cppworker
