#include "proxy/tls_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <boost/asio/ssl/error.hpp>

namespace cppworker {
namespace {

using boost::system::error_code;

// The socket as OpenSSL reads and writes it. Its own BIO for sockets writes without MSG_NOSIGNAL: a client
// that has left would end the process.

// Asked anew each time: once the socket is closed, its number may be another connection's.
int fd_of(BIO* bio) {
  return static_cast<TlsStream::Socket*>(BIO_get_data(bio))->native_handle();
}

int note_retry(BIO* bio, ssize_t moved, int direction) {
  BIO_clear_retry_flags(bio);
  if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(moved);
}

int read_socket(BIO* bio, char* into, int size) {
  const ssize_t got = ::recv(fd_of(bio), into, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got == 0) errno = 0;
  return note_retry(bio, got, BIO_FLAGS_READ);
}

int write_socket(BIO* bio, const char* from, int size) {
  const ssize_t sent = ::send(fd_of(bio), from, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  return note_retry(bio, sent, BIO_FLAGS_WRITE);
}

// Nothing is held back here: a flush is done when it is asked for.
long control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* socket_method() {
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

BIO* make_bio(TlsStream::Socket& socket) {
  BIO* bio = BIO_new(socket_method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  return bio;
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

TlsStream::TlsStream(Socket& socket, SSL_CTX* context) : socket_(socket), ssl_(SSL_new(context)) {
  if (ssl_ == nullptr) throw std::bad_alloc();
  BIO* bio = make_bio(socket);
  SSL_set_bio(ssl_.get(), bio, bio);
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
