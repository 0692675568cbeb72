// The proxy's end of its control socket, played by the test. Never blocks.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/unique_fd.hpp"

namespace cppworker {

class ProxyEnd {
 public:
  ProxyEnd() = default;
  explicit ProxyEnd(UniqueFd fd) : fd_(std::move(fd)) { ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK); }

  // How many of the bytes the socket took.
  std::size_t say(std::string_view bytes) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }

  // The next line, with its end, as soon as all of it is here.
  std::optional<std::string> next_line() {
    take_in();
    const std::size_t end = heard_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = heard_.substr(0, end + 1);
    heard_.erase(0, end + 1);
    return line;
  }

  // The other side has closed, and everything from it was taken in.
  bool over() {
    take_in();
    return over_;
  }
  void close() { fd_.reset(); }

 private:
  void take_in() {
    char buffer[65536];
    ssize_t got;
    while ((got = ::read(fd_.get(), buffer, sizeof buffer)) > 0)
      heard_.append(buffer, static_cast<std::size_t>(got));
    over_ = got == 0 || (errno != EAGAIN && errno != EINTR);
  }

  UniqueFd fd_;
  std::string heard_;
  bool over_ = false;
};

}  // namespace cppworker
