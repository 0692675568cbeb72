// A TCP connection that a test drives byte by byte: both ends of the proxy are made of it (raw_client.hpp,
// scripted_server.hpp). A client may put TLS under its bytes.
//
// It blocks the test's own thread, so that a test reads top to bottom; the proxy runs on threads of its own.
// Every wait is bounded by kHangGuard. What doesn't come is thrown as std::runtime_error, which GoogleTest
// reports as the test's failure, with what had come until then.
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "common/unique_fd.hpp"

namespace cppworker {

// Only a broken proxy lets a test wait so long; generous because sanitizers on a busy machine are slow.
inline constexpr std::chrono::seconds kHangGuard{20};

class RawSocket {
 public:
  // How the other side's sending ended, as far as it was read.
  // kTruncated: the connection of a TLS client ended without the notice that nothing more comes.
  enum class End { kOpen, kEof, kReset, kTruncated };

  explicit RawSocket(UniqueFd fd);

  // The handshake, as a client that believes any certificate. Throws when it fails.
  void start_tls();
  // Of the certificate that the other side showed.
  std::string common_name() const;
  // Says that nothing more will be sent, as the last thing; the connection stays.
  void send_tls_notice();
  // Goes on with new keys, so many times.
  void renew_tls_keys(int times);

  // Exactly these bytes. Throws when the other side has reset the connection.
  void send(std::string_view bytes);
  // The same, and false where the connection was reset under it.
  bool try_send(std::string_view bytes);
  // What the kernel takes without waiting: how many bytes that were.
  std::size_t send_now(std::string_view bytes);

  // Up to and including `mark`; what came behind it is kept for the next read.
  std::string read_until(std::string_view mark);
  std::string read_exactly(std::size_t size);
  // All of the rest, however it ends: end() tells.
  std::string read_to_end();
  // What is here now, without waiting.
  std::string read_now();
  // Nothing is here now: no byte, no end. Means something after RunningProxy::settle().
  bool is_silent();

  // Waits for the end. Throws when bytes come instead: nobody expected any.
  End wait_for_end();
  End end() const { return end_; }

  void shutdown_write();
  void reset();  // an RST instead of a FIN
  void close();

 private:
  bool wait_for(short events);
  // How many of the bytes were taken; 0: not now; -1: the connection is broken.
  ssize_t write_some(std::string_view bytes);
  // How many there were; 0: not now; -1: the end, and end_ says which.
  ssize_t read_some(char* into, std::size_t size);
  // Takes in what is there. False when nothing was.
  bool take_in();
  void fill(std::string_view waiting_for);

  UniqueFd fd_;
  std::shared_ptr<SSL> tls_;  // nullptr: plain
  std::string received_;      // and not yet read
  End end_ = End::kOpen;
};

// For messages and comparisons: control characters as escapes.
std::string visible(std::string_view bytes);

}  // namespace cppworker
