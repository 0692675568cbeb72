#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <vector>

#include "tests/bench/load.hpp"
#include "tests/bench/sockets.hpp"

namespace cppworker::bench {
namespace {

constexpr std::string_view kStamp = "\"sent_ns\":";
constexpr std::string_view kLastChunk = "\r\n0\r\n\r\n";
// What may have been cut off at a read's end: a stamp with its digits, or the last chunk.
constexpr std::size_t kLongestRest = 64;
constexpr int kEventsAtOnce = 256;
constexpr int kPatience_ms = 10'000;

struct Stream {
  UniqueFd socket;
  std::string rest;  // the end of what was read before
  bool head_seen = false;
};

class Reader {
 public:
  explicit Reader(const StreamLoad& load) : load_(load), epoll_(::epoll_create1(0)), streams_(load.streams) {
    delays_.reserve(load.streams * load.events);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      streams_[i].socket = connect_to_loopback(load.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, streams_[i].socket.get(), &event);
    }
  }

  int run() {
    std::string body = read_whole_file(load_.body);
    std::string request = post_head(load_.target, body.size()) + body;
    for (Stream& stream : streams_)
      if (!write_all(stream.socket, request)) give_up("a connection was closed");
    open_ = streams_.size();
    std::vector<epoll_event> ready(kEventsAtOnce);
    while (open_ > 0) {
      int count = ::epoll_wait(epoll_.get(), ready.data(), kEventsAtOnce, kPatience_ms);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) give_up("no event comes any more");
      for (int i = 0; i < count; ++i) read_from(streams_[ready[i].data.u64]);
    }
    report();
    return 0;
  }

 private:
  void read_from(Stream& stream) {
    char buffer[64 * 1024];
    ssize_t count = ::recv(stream.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    std::int64_t now = now_ns();
    if (count <= 0) return close(stream);
    std::string text = std::move(stream.rest);
    text.append(buffer, static_cast<std::size_t>(count));
    if (!stream.head_seen) {
      auto head = find_head(text);
      if (!head) {
        stream.rest = std::move(text);
        return;
      }
      if (head->status() != 200) give_up("a stream was refused: " + text);
      stream.head_seen = true;
    }
    std::size_t done = note_delays(text, now);
    if (text.ends_with(kLastChunk)) return close(stream);
    stream.rest = text.substr(std::max(done, text.size() - std::min(text.size(), kLongestRest)));
  }

  // Returns where the last whole stamp ended: what is before needn't be looked at again.
  std::size_t note_delays(std::string_view text, std::int64_t now) {
    std::size_t done = 0;
    for (std::size_t at = text.find(kStamp); at != std::string_view::npos; at = text.find(kStamp, done)) {
      std::int64_t sent = 0;
      const char* end = text.data() + text.size();
      auto [stop, error] = std::from_chars(text.data() + at + kStamp.size(), end, sent);
      if (error != std::errc{} || stop == end) break;  // more of its digits may come
      delays_.push_back(now - sent);
      done = static_cast<std::size_t>(stop - text.data());
    }
    return done;
  }

  void close(Stream& stream) {
    stream.socket.reset();
    --open_;
  }

  void report() {
    std::sort(delays_.begin(), delays_.end());
    auto micros_at = [&](double part) {
      if (delays_.empty()) return 0.0;
      auto place = static_cast<std::size_t>(part * static_cast<double>(delays_.size() - 1));
      return static_cast<double>(delays_[place]) / 1000;
    };
    std::size_t wanted = load_.streams * load_.events;
    std::printf("{\"events\":%zu,\"lost\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
                delays_.size(), wanted - std::min(wanted, delays_.size()), micros_at(0.5), micros_at(0.99),
                micros_at(1));
  }

  const StreamLoad& load_;
  UniqueFd epoll_;
  std::vector<Stream> streams_;
  std::vector<std::int64_t> delays_;
  std::size_t open_ = 0;
};

}  // namespace

int read_streams(const StreamLoad& load) {
  return Reader(load).run();
}

}  // namespace cppworker::bench
