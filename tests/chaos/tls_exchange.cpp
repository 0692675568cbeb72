#include "tls_exchange.hpp"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "common/unique_fd.hpp"

namespace cppworker::chaos {
namespace {

constexpr std::size_t kReadBytes = 16 << 10;
// Of a slow reader: what fills the kernel's buffers is read by nobody.
constexpr int kSmallBuffer = 64 << 10;

// Believes any certificate: who signs it is another test's concern.
class Connection {
 public:
  explicit Connection(std::uint16_t port, bool slow = false) {
    static const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    ssl_.reset(SSL_new(context.get()));
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    be_patient(SO_RCVTIMEO, kClientPatience);
    be_patient(SO_SNDTIMEO, kClientPatience);
    if (slow) ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &kSmallBuffer, sizeof kSmallBuffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    SSL_set_fd(ssl_.get(), fd_.get());
    open_ = good(SSL_connect(ssl_.get()));
  }

  bool open() const { return open_; }
  bool timed_out() const { return timed_out_; }
  // For what comes next. `option`: SO_RCVTIMEO or SO_SNDTIMEO.
  void be_patient(int option, std::chrono::milliseconds patience) {
    const timeval value{patience.count() / 1000, patience.count() % 1000 * 1000};
    ::setsockopt(fd_.get(), SOL_SOCKET, option, &value, sizeof value);
  }
  SSL* ssl() { return ssl_.get(); }

  void write(std::string_view bytes) {
    if (open_) open_ = good(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())));
  }
  // False at the end, whatever ended it.
  bool read_some(std::string& into) {
    char buffer[kReadBytes];
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (!good(n)) return false;
    into.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

 private:
  bool good(int result) {
    if (result > 0) return true;
    // With a blocking socket nothing else than its timeout asks to try again.
    const int error = SSL_get_error(ssl_.get(), result);
    timed_out_ = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    return false;
  }

  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  UniqueFd fd_;
  std::unique_ptr<SSL, Free> ssl_;
  bool open_ = false, timed_out_ = false;
};

}  // namespace

Exchange exchange(std::uint16_t port, std::string_view request, const Manner& manner) {
  Exchange seen;
  Connection connection(port, manner.between_reads.count() > 0);
  connection.write(request);
  if (!connection.open()) {
    seen.timed_out = connection.timed_out();
    return seen;
  }
  if (manner.leaves_after) connection.be_patient(SO_RCVTIMEO, *manner.leaves_after);
  while (connection.read_some(seen.bytes)) {
    if (manner.leaves_after) connection.be_patient(SO_RCVTIMEO, kClientPatience);
    seen.left = manner.leaves_with > 0 && seen.bytes.size() >= manner.leaves_with;
    if (seen.left) return seen;
    std::this_thread::sleep_for(manner.between_reads);
  }
  seen.left = connection.timed_out() && manner.leaves_after && seen.bytes.empty();
  seen.timed_out = connection.timed_out() && !seen.left;
  return seen;
}

std::string certificate_shown(std::uint16_t port) {
  Connection connection(port);
  if (!connection.open()) return "";
  const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(connection.ssl()),
                                                          X509_free);
  char name[100] = "";
  if (shown) X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace cppworker::chaos
