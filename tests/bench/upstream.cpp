// bench_upstream: an inference server that costs next to nothing.
//
//   bench_upstream --port PORT
//
// Answers each request, once its body has been read whole, with a small fixed body. A target of
// /stream?events=N&interval_us=T answers with N server-sent events, one each T microseconds; each carries the
// time at which it was sent ("sent_ns", monotonic clock), so that the reader can tell the delay. The streams'
// phases are spread evenly over the interval, as of clients that came at different times; with &together=1
// all send at the same instants, as a server does that computes a token for each of its clients in one batch.
//
// One thread, one epoll. Requests aren't pipelined, and readers of streams are fast enough for a socket's
// buffer: a stream that would have to wait is cut, which the load program counts as lost.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>
#include <CLI/CLI.hpp>

#include "tests/bench/sockets.hpp"

namespace cppworker::bench {
namespace {

// A short answer of an inference server.
constexpr std::string_view kText =
    R"({"generated_text":" The harbour lay still in the morning light, and the boats had not gone out."})";
const std::string kAnswer =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(kText.size()) +
    "\r\n\r\n" + std::string(kText);
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    "transfer-encoding: chunked\r\n\r\n";
constexpr std::string_view kStreamEnd = "0\r\n\r\n";
// One read of a large body: few system calls, and still within the cache.
constexpr std::size_t kReadBytes = 256 * 1024;
constexpr std::size_t kLongestHead = 64 * 1024;
constexpr int kEventsAtOnce = 256;
// Steps of the golden ratio fill an interval evenly for any number of streams.
constexpr double kGoldenRatio = 0.6180339887498949;

struct Client {
  UniqueFd socket;
  std::string head;             // of the request being read, until it is complete
  std::uint64_t body_left = 0;  // of the request being read
  std::string target;           // set while a body is being read
  std::uint64_t events_left = 0;
  std::int64_t interval_ns = 0;
};

std::int64_t number_in(std::string_view target, std::string_view name) {
  std::int64_t value = 0;
  std::size_t found = target.find(name);
  if (found == std::string_view::npos) return 0;
  const char* digits = target.data() + found + name.size();
  std::from_chars(digits, target.data() + target.size(), value);
  return value;
}

class Upstream {
 public:
  explicit Upstream(UniqueFd listener) : listener_(std::move(listener)), epoll_(::epoll_create1(0)) {
    set_nonblocking(listener_);
    watch(listener_.get());
  }

  [[noreturn]] void run() {
    std::vector<epoll_event> ready(kEventsAtOnce);
    while (true) {
      timespec pause{};
      int count = ::epoll_pwait2(epoll_.get(), ready.data(), kEventsAtOnce, until_next(pause), nullptr);
      for (int i = 0; i < count; ++i) {
        if (ready[i].data.fd == listener_.get())
          accept_all();
        else
          read_from(ready[i].data.fd);
      }
      send_due_events();
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  // nullptr, for ever, when no stream is open.
  timespec* until_next(timespec& pause) const {
    if (due_.empty()) return nullptr;
    std::int64_t left = std::max<std::int64_t>(0, due_.begin()->first - now_ns());
    pause = {left / 1'000'000'000, left % 1'000'000'000};
    return &pause;
  }

  void accept_all() {
    while (true) {
      UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) return;
      auto fd = static_cast<std::size_t>(socket.get());
      if (clients_.size() <= fd) clients_.resize(fd + 1);
      clients_[fd] = std::make_unique<Client>();
      clients_[fd]->socket = std::move(socket);
      watch(static_cast<int>(fd));
    }
  }

  void read_from(int fd) {
    Client* client = clients_[static_cast<std::size_t>(fd)].get();
    ssize_t count = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return drop(fd);
    std::string_view data(buffer_.data(), static_cast<std::size_t>(count));
    if (client->target.empty()) {
      // Usually the whole head is here, and nothing is copied.
      if (!client->head.empty()) data = client->head.append(data);
      auto head = find_head(data);
      if (!head) {
        if (data.size() > kLongestHead) return drop(fd);
        if (client->head.empty()) client->head = data;
        return;
      }
      client->target = head->target();
      client->body_left = head->body_bytes;
      data.remove_prefix(head->size);
    }
    client->body_left -= std::min<std::uint64_t>(client->body_left, data.size());
    if (client->body_left > 0) return;
    client->head.clear();
    answer(*client, std::exchange(client->target, {}));
  }

  void answer(Client& client, const std::string& target) {
    bool streams = target.starts_with("/stream");
    if (!write_all(client.socket, streams ? kStreamHead : kAnswer)) return drop(client.socket.get());
    if (!streams) return;
    client.events_left = static_cast<std::uint64_t>(number_in(target, "events="));
    client.interval_ns = std::max<std::int64_t>(1, number_in(target, "interval_us=")) * 1000;
    std::int64_t now = now_ns(), first = 0;
    if (number_in(target, "together=") == 1) {
      first = now - now % client.interval_ns + client.interval_ns;
    } else {
      phase_ += kGoldenRatio;
      if (phase_ >= 1) phase_ -= 1;
      first = now + static_cast<std::int64_t>(phase_ * static_cast<double>(client.interval_ns));
    }
    due_.emplace(first, client.socket.get());
  }

  void send_due_events() {
    while (!due_.empty() && due_.begin()->first <= now_ns()) {
      auto [when, fd] = *due_.begin();
      due_.erase(due_.begin());
      Client& client = *clients_[static_cast<std::size_t>(fd)];
      if (!send_event(client)) {
        drop(fd);
      } else if (--client.events_left > 0) {
        due_.emplace(when + client.interval_ns, fd);
      } else if (!write_all(client.socket, kStreamEnd)) {
        drop(fd);
      }
    }
  }

  // The bytes of an event of text-generation-inference, as one chunk.
  bool send_event(Client& client) {
    char text[256];
    int size =
        std::snprintf(text, sizeof text,
                      "data:{\"index\":%6llu,\"token\":{\"id\":1234,\"text\":\" word\",\"logprob\":"
                      "-0.25,\"special\":false},\"sent_ns\":%lld,\"details\":null}\n\n",
                      static_cast<unsigned long long>(client.events_left), static_cast<long long>(now_ns()));
    char chunk[300];
    int whole = std::snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", static_cast<unsigned>(size), text);
    return write_all(client.socket, {chunk, static_cast<std::size_t>(whole)});
  }

  void drop(int fd) {
    for (auto it = due_.begin(); it != due_.end();) it = it->second == fd ? due_.erase(it) : std::next(it);
    clients_[static_cast<std::size_t>(fd)].reset();
  }

  UniqueFd listener_, epoll_;
  std::vector<std::unique_ptr<Client>> clients_;  // by descriptor
  std::multimap<std::int64_t, int> due_;          // when the next event of which stream is sent
  double phase_ = 0;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);
};

}  // namespace
}  // namespace cppworker::bench

int main(int argc, char** argv) {
  CLI::App cli("bench_upstream: an inference server that costs next to nothing");
  std::uint16_t port = 0;
  cli.add_option("--port", port, "Port on 127.0.0.1; 0 takes a free one")->required();
  CLI11_PARSE(cli, argc, argv);
  using namespace cppworker::bench;
  auto listener = listen_on_loopback(port);
  std::fprintf(stderr, "listening on 127.0.0.1:%u\n", port_of(listener));
  Upstream(std::move(listener)).run();
}
