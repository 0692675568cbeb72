#include "tests/proxy/raw_socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace cppworker {
namespace {

// What is shown of the bytes in a failure's message.
constexpr std::size_t kMostShown = 600;

}  // namespace

std::string visible(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes.substr(0, kMostShown)) {
    char escape[8];
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n\n";
    } else if (c < 0x20 || c >= 0x7f) {
      std::snprintf(escape, sizeof escape, "\\x%02x", c);
      out += escape;
    } else {
      out += static_cast<char>(c);
    }
  }
  if (bytes.size() > kMostShown) out += "... (" + std::to_string(bytes.size()) + " bytes)";
  return out;
}

RawSocket::RawSocket(UniqueFd fd) : fd_(std::move(fd)) {
  ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
  // Each send is to be seen by the proxy when it is made, not when Nagle thinks fit.
  int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool RawSocket::wait_for(short events) {
  pollfd watched{fd_.get(), events, 0};
  return ::poll(&watched, 1, static_cast<int>(std::chrono::milliseconds(kHangGuard).count())) > 0;
}

void RawSocket::start_tls() {
  // What OpenSSL writes with raises SIGPIPE on a broken connection.
  ::signal(SIGPIPE, SIG_IGN);
  static const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  std::shared_ptr<SSL> tls(SSL_new(context.get()), SSL_free);
  SSL_set_fd(tls.get(), fd_.get());
  while (SSL_connect(tls.get()) != 1) {
    int wanted = SSL_get_error(tls.get(), -1);
    if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE)
      throw std::runtime_error("the TLS handshake failed");
    if (!wait_for(wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT))
      throw std::runtime_error("the TLS handshake doesn't go on");
  }
  tls_ = std::move(tls);
}

std::string RawSocket::common_name() const {
  const std::shared_ptr<X509> shown(SSL_get1_peer_certificate(tls_.get()), X509_free);
  char name[100] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
  return name;
}

void RawSocket::send_tls_notice() {
  SSL_shutdown(tls_.get());
}

void RawSocket::renew_tls_keys(int times) {
  for (int i = 0; i < times; ++i)
    if (SSL_key_update(tls_.get(), SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(tls_.get()) != 1)
      throw std::runtime_error("the keys can't be renewed");
}

ssize_t RawSocket::write_some(std::string_view bytes) {
  if (!tls_) {
    ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
  }
  ERR_clear_error();
  int sent = SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (sent > 0) return sent;
  return SSL_get_error(tls_.get(), sent) == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

ssize_t RawSocket::read_some(char* into, std::size_t size) {
  if (!tls_) {
    ssize_t n = ::recv(fd_.get(), into, size, 0);
    if (n > 0) return n;
    if (n < 0 && errno == EAGAIN) return 0;
    end_ = n == 0 ? End::kEof : End::kReset;
    return -1;
  }
  ERR_clear_error();
  int n = SSL_read(tls_.get(), into, static_cast<int>(size));
  if (n > 0) return n;
  int error = SSL_get_error(tls_.get(), n);
  if (error == SSL_ERROR_WANT_READ) return 0;
  bool cut = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  end_ = error == SSL_ERROR_ZERO_RETURN ? End::kEof : cut ? End::kTruncated : End::kReset;
  return -1;
}

std::size_t RawSocket::send_now(std::string_view bytes) {
  ssize_t sent = write_some(bytes);
  if (sent < 0) throw std::runtime_error("cannot send: the connection was reset");
  return static_cast<std::size_t>(sent);
}

bool RawSocket::try_send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = write_some(bytes);
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
    if (sent == 0 && !wait_for(POLLOUT)) throw std::runtime_error("cannot send: the other side doesn't read");
  }
  return true;
}

void RawSocket::send(std::string_view bytes) {
  if (!try_send(bytes)) throw std::runtime_error("cannot send: the connection was reset");
}

bool RawSocket::take_in() {
  if (end_ != End::kOpen) return false;
  char piece[64 * 1024];
  ssize_t n = read_some(piece, sizeof piece);
  if (n > 0) received_.append(piece, static_cast<std::size_t>(n));
  return n != 0;
}

void RawSocket::fill(std::string_view waiting_for) {
  if (end_ != End::kOpen || !fd_) {
    std::string how = end_ == End::kReset ? "reset" : end_ == End::kTruncated ? "cut off" : "ended";
    throw std::runtime_error("the connection was " + how + " while waiting for \"" + visible(waiting_for) +
                             "\", after \"" + visible(received_) + "\"");
  }
  if (take_in()) return;
  if (!wait_for(POLLIN))
    throw std::runtime_error("nothing came while waiting for \"" + visible(waiting_for) + "\", after \"" +
                             visible(received_) + "\"");
  take_in();
}

std::string RawSocket::read_until(std::string_view mark) {
  std::size_t at, from = 0;
  while ((at = received_.find(mark, from)) == std::string::npos) {
    from = received_.size() - std::min(received_.size(), mark.size());
    fill(mark);
  }
  std::string read = received_.substr(0, at + mark.size());
  received_.erase(0, read.size());
  return read;
}

std::string RawSocket::read_exactly(std::size_t size) {
  while (received_.size() < size) fill(std::to_string(size) + " bytes");
  std::string read = received_.substr(0, size);
  received_.erase(0, size);
  return read;
}

std::string RawSocket::read_to_end() {
  while (end_ == End::kOpen) fill("the end");
  return std::move(received_);
}

std::string RawSocket::read_now() {
  while (take_in()) {
  }
  std::string read = std::move(received_);
  received_.clear();
  return read;
}

bool RawSocket::is_silent() {
  take_in();
  return received_.empty() && end_ == End::kOpen;
}

RawSocket::End RawSocket::wait_for_end() {
  std::string more = read_to_end();
  received_.clear();
  if (!more.empty()) throw std::runtime_error("before the end came \"" + visible(more) + "\"");
  return end_;
}

void RawSocket::shutdown_write() {
  ::shutdown(fd_.get(), SHUT_WR);
}

void RawSocket::reset() {
  linger abortive{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
  fd_.reset();
}

void RawSocket::close() {
  fd_.reset();
}

}  // namespace cppworker
