// TLS over a connected socket, the server's side: an AsyncStream as Asio's are.
//
// Asio's own ssl::stream has four buffers of 17 kB for each connection, idle or not, through two of which it
// copies each byte. Here OpenSSL reads and writes the socket itself, and gives its buffers back while there
// is nothing in them (SSL_MODE_RELEASE_BUFFERS, of the context).
//
// An operation tries, and where OpenSSL needs the socket to be readable or writable it waits for that and
// tries again. So cancelling the socket ends one between two tries: a read can be repeated as if it hadn't
// been; after a write nothing more can be written, since half a record may be on its way.
//
// What a client sends beside its bytes, once the handshake is over, is counted: OpenSSL reads on inside one
// call for as long as there is nothing else, at the cost of new keys for each 27 bytes. Without a limit a
// stranger who sends 40 MB of them keeps a thread from turning until the watchdog ends the process.
//
// Threads: the connection's own; one read and one write may be under way at once.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "common/async.hpp"

namespace cppworker {

class TlsStream {
 public:
  using Socket = asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;

  // Records in a connection's life that are no data: alerts, tickets, new keys (which clients ask for after
  // 2^24 records, if ever), a new handshake under TLS 1.2. Past that the connection fails.
  static constexpr int kMostAsides = 32;

  // `socket` outlives this. Throws std::bad_alloc.
  TlsStream(Socket& socket, SSL_CTX* context);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }

  // Each ends with (error_code, std::size_t); the size is that of the bytes read or written.
  template <class Token>
  auto async_handshake(Token&& token) {
    return begin({Kind::kHandshake, nullptr, 0}, std::forward<Token>(token));
  }
  template <class Token>
  auto async_read_some(asio::mutable_buffer into, Token&& token) {
    return begin({Kind::kRead, into.data(), into.size()}, std::forward<Token>(token));
  }
  // All of it, unlike its name says: OpenSSL goes on as long as the socket takes it.
  template <class Token>
  auto async_write_some(asio::const_buffer from, Token&& token) {
    return begin({Kind::kWrite, const_cast<void*>(from.data()), from.size()}, std::forward<Token>(token));
  }
  // Sends the notice that nothing more comes; the client's own isn't waited for.
  template <class Token>
  auto async_shutdown(Token&& token) {
    return begin({Kind::kShutdown, nullptr, 0}, std::forward<Token>(token));
  }

  // Whether there are bytes that were taken off the socket already, for which it won't become readable.
  bool holds_bytes() const { return SSL_has_pending(ssl_.get()) == 1; }

 private:
  enum class Kind { kHandshake, kRead, kWrite, kShutdown };
  enum class Next { kDone, kWaitReadable, kWaitWritable };
  struct Work {
    Kind kind;
    void* data;
    std::size_t size;
    bool begun = false;
  };
  struct Step {
    Next next = Next::kDone;
    boost::system::error_code error = {};
    std::size_t bytes = 0;
  };
  // What OpenSSL's callbacks get to see.
  struct Wire {
    Socket& socket;
    int asides = 0;
  };
  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  // Tries until it is done.
  struct Operation {
    TlsStream& stream;
    Work work;
    bool waited = false, done = false;
    Step step = {};

    template <class Self>
    void operator()(Self& self, boost::system::error_code error = {}) {
      if (error) return self.complete(error, 0);
      if (!done) {
        step = stream.attempt(work);
        work.begun = true;
        auto& socket = stream.socket_;
        if (step.next != Next::kDone) {
          waited = true;
          const bool to_read = step.next == Next::kWaitReadable;
          return socket.async_wait(to_read ? Socket::wait_read : Socket::wait_write, std::move(self));
        }
        done = true;
        // No operation ends inside the call that begins it.
        if (!waited) return asio::post(socket.get_executor(), std::move(self));
      }
      self.complete(step.error, step.bytes);
    }
  };

  template <class Token>
  auto begin(const Work& work, Token&& token) {
    return asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(Operation{*this, work},
                                                                                    token, socket_);
  }
  Step attempt(const Work& work);
  static int read_socket(BIO* bio, char* into, int size);
  static int write_socket(BIO* bio, const char* from, int size);
  static const BIO_METHOD* socket_method();
  static void see_record(int written, int version, int kind, const void* text, std::size_t size, SSL* ssl,
                         void* wire);

  Socket& socket_;
  Wire wire_{socket_};
  std::unique_ptr<SSL, FreeSsl> ssl_;
  bool write_unfinished_ = false;
};

}  // namespace cppworker
