#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "tests/bench/load.hpp"
#include "tests/bench/sockets.hpp"

namespace cppworker::bench {
namespace {

constexpr std::size_t kIdle = static_cast<std::size_t>(-1);
// No answer for so long means that something stands still; the run is given up.
constexpr int kPatience_ms = 10'000;

struct Connection {
  UniqueFd socket;
  std::size_t line = kIdle;  // of the body that is under way
  std::string received;
};

std::vector<std::string_view> lines_of(std::string_view text, std::size_t skip, std::size_t count) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin < text.size() && lines.size() < count;) {
    std::size_t end = std::min(text.find('\n', begin), text.size());
    if (skip > 0)
      --skip;
    else
      lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.size() < count) give_up("the file has too few bodies");
  return lines;
}

class Sender {
 public:
  explicit Sender(const RequestLoad& load)
      : load_(load),
        text_(read_whole_file(load.bodies)),
        bodies_(lines_of(text_, load.skip, load.count)),
        epoll_(::epoll_create1(0)),
        connections_(load.connections) {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].socket = connect_to_loopback(load.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connections_[i].socket.get(), &event);
      parked_.push_back(i);
    }
  }

  int run() {
    std::int64_t started = now_ns();
    send_what_may_be_sent();
    std::vector<epoll_event> ready(connections_.size());
    while (answered_ < bodies_.size()) {
      int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), kPatience_ms);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) give_up("no answer comes any more");
      for (int i = 0; i < count; ++i) read_from(ready[i].data.u64);
      send_what_may_be_sent();
    }
    double seconds = static_cast<double>(now_ns() - started) / 1e9;
    std::printf("{\"requests\":%zu,\"seconds\":%.6f,\"not_200\":%zu}\n", answered_, seconds, not_200_);
    return 0;
  }

 private:
  // The first line that hasn't been answered.
  std::size_t oldest() const {
    std::size_t least = next_;
    for (const Connection& connection : connections_) least = std::min(least, connection.line);
    return least;
  }

  void send_what_may_be_sent() {
    while (!parked_.empty() && next_ < bodies_.size() && next_ - oldest() < kSpread) {
      Connection& connection = connections_[parked_.back()];
      parked_.pop_back();
      connection.line = next_++;
      std::string message = post_head(load_.target, bodies_[connection.line].size());
      message += bodies_[connection.line];
      if (!write_all(connection.socket, message)) give_up("a connection was closed");
    }
  }

  void read_from(std::size_t index) {
    Connection& connection = connections_[index];
    char buffer[16 * 1024];
    ssize_t count = ::recv(connection.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) give_up("a connection was closed");
    connection.received.append(buffer, static_cast<std::size_t>(count));
    auto head = find_head(connection.received);
    if (!head || connection.received.size() < head->size + head->body_bytes) return;
    if (head->status() != 200 && not_200_++ == 0)
      std::fprintf(stderr, "bench: the first answer that isn't 200: %s\n", connection.received.c_str());
    connection.received.clear();
    connection.line = kIdle;
    ++answered_;
    parked_.push_back(index);
  }

  const RequestLoad& load_;
  const std::string text_;
  const std::vector<std::string_view> bodies_;
  UniqueFd epoll_;
  std::vector<Connection> connections_;
  std::vector<std::size_t> parked_;  // connections with nothing under way
  std::size_t next_ = 0, answered_ = 0, not_200_ = 0;
};

}  // namespace

int send_requests(const RequestLoad& load) {
  return Sender(load).run();
}

}  // namespace cppworker::bench
