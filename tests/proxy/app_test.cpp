// The program itself, with what the supervisor gives it: the listening socket, the control socket, the
// ledger. What no test of its pieces sees: that they are put together, and how it starts and ends.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <nlohmann/json.hpp>

#include "common/proxy_settings.hpp"
#include "common/text.hpp"
#include "common/worker_state.hpp"
#include "launchers/backend_definition.hpp"
#include "tests/metrics/ledger_fixture.hpp"
#include "tests/proxy/raw_client.hpp"
#include "tests/proxy/scripted_server.hpp"
#include "tests/proxy/signed_body.hpp"

extern char** environ;

namespace cppworker {
namespace {

using End = RawSocket::End;

// Out of the way of the numbers that the program has them under.
UniqueFd out_of_the_way(int fd) {
  UniqueFd moved(::fcntl(fd, F_DUPFD_CLOEXEC, 16));
  ::close(fd);
  return moved;
}

// The supervisor's part.
class ProxyProcessTest : public testing::Test {
 protected:
  ProxyProcessTest() : ledger_(Ledger::create(folder_ / "ledger", "app test").value()) {
    settings_.backend = part_for_proxy(load_backend(CPPWORKER_SOURCE_DIR "/launchers/toy")->document);
    settings_.server_url = "http://" + server_.authority();
    settings_.ledger = folder_ / "ledger";
    settings_.threads = 1;  // so that what one request shows is true of the next one
    listener_ = listen(port_);
  }
  ~ProxyProcessTest() override {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    status_of(pid_);
  }

  static UniqueFd listen(std::uint16_t& port) {
    UniqueFd listener = out_of_the_way(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener.get(), generic, size) != 0 || ::listen(listener.get(), 64) != 0 ||
        ::getsockname(listener.get(), generic, &size) != 0)
      throw std::runtime_error("cannot listen");
    port = ntohs(address.sin_port);
    return listener;
  }

  void start() {
    start_untold();
    tell(ModelPhase::kLoading);
  }
  void start_untold() {
    std::ofstream(folder_ / "proxy.json") << encode(settings_);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw std::runtime_error("cannot make a socket pair");
    control_ = out_of_the_way(ends[0]);
    UniqueFd theirs = out_of_the_way(ends[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, listener_.get(), kListenerFd);
    ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), kControlFd);
    if (session_listener_)
      ::posix_spawn_file_actions_adddup2(&actions, session_listener_.get(), kSessionListenerFd);
    std::string program = CPPWORKER_BIN_DIR "/cppworker-proxy", file = folder_ / "proxy.json";
    std::string option = "--settings", owner_option = "--owner", owner = "7";
    char* arguments[] = {program.data(),      option.data(), file.data(),
                         owner_option.data(), owner.data(),  nullptr};
    int error = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start cppworker-proxy");
  }

  void tell(ModelPhase phase, std::vector<std::string> keys = {}, bool retiring = false) {
    WorkerState state;
    state.retiring = retiring;
    state.phase = phase;
    state.public_keys = std::move(keys);
    std::string line = encode(state);
    ASSERT_EQ(::send(control_.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
  }
  // The program's next notice other than that it lives; nullopt: it closed its end.
  std::optional<ProxyNotice> hear() {
    while (true) {
      auto notice = next_notice();
      if (notice != ProxyNotice::kAlive) return notice;
    }
  }
  // Whether its next words are so many times that, and nothing else.
  bool says_only_that_it_lives(int times) {
    for (int i = 0; i < times; ++i)
      if (next_notice() != ProxyNotice::kAlive) return false;
    return true;
  }
  std::optional<ProxyNotice> next_notice() {
    while (true) {
      std::size_t end = heard_.find('\n');
      if (end != std::string::npos) {
        auto notice = decode_notice(heard_.substr(0, end)).value();
        heard_.erase(0, end + 1);
        return notice;
      }
      pollfd watched{control_.get(), POLLIN, 0};
      if (::poll(&watched, 1, static_cast<int>(std::chrono::milliseconds(kHangGuard).count())) <= 0)
        throw std::runtime_error("the proxy says nothing");
      char bytes[1000];
      ssize_t n = ::recv(control_.get(), bytes, sizeof bytes, 0);
      if (n <= 0) return std::nullopt;
      heard_.append(bytes, static_cast<std::size_t>(n));
    }
  }
  bool says_something_within(std::chrono::milliseconds time) {
    heard_.clear();
    pollfd watched{control_.get(), POLLIN, 0};
    if (::poll(&watched, 1, static_cast<int>(time.count())) <= 0) return false;
    char bytes[1000];
    return ::recv(control_.get(), bytes, sizeof bytes, 0) > 0;
  }
  // Whether it has said that by now.
  bool has_said(ProxyNotice notice) {
    char bytes[1000];
    ssize_t n;
    while ((n = ::recv(control_.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
      heard_.append(bytes, static_cast<std::size_t>(n));
    return heard_.find(encode(notice)) != std::string::npos;
  }
  int exit_status() {
    int status = status_of(std::exchange(pid_, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  RawMessage ask(std::string_view request) { return RawClient(port_).exchange(request); }
  // Asks until the answer shows that the state has arrived. Nothing may reach the server meanwhile.
  void ask_until(std::string_view request, int status) {
    auto until = std::chrono::steady_clock::now() + kHangGuard;
    while (ask(request).status() != status)
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("the state doesn't arrive");
  }
  void make_ready(std::vector<std::string> keys = {}) {
    server_.stop_listening();
    tell(ModelPhase::kReady, std::move(keys));
    // Ready, it tries the server, which refuses; before, it doesn't.
    ask_until(get_request("/health"), 502);
    server_.listen_again();
  }

  TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  ScriptedServer server_;
  ProxySettings settings_;
  UniqueFd listener_, session_listener_, control_;
  std::uint16_t port_ = 0, session_port_ = 0;
  pid_t pid_ = 0;
  std::string heard_;
};

TEST_F(ProxyProcessTest, SaysThatItServesAndDoes) {
  RawClient early(port_);  // waits in the backlog
  early.send(get_request("/ping"));
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  EXPECT_EQ(early.read_response().body, "pong");
  EXPECT_EQ(ask(get_request("/health")).status(), 503);
}

TEST_F(ProxyProcessTest, SaysInTheBooksWhatItHasOpen) {
  start();
  RawClient one(port_), two(port_);
  EXPECT_EQ(one.exchange(get_request("/ping")).body, "pong");
  EXPECT_EQ(two.exchange(get_request("/ping")).body, "pong");
  auto until = std::chrono::steady_clock::now() + kHangGuard;
  while (ledger_->snapshot().open_now.connections != 2)
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "it doesn't say so";
}

// A supervisor may be slow to say it, and a client of a worker that is ready isn't told that it loads.
TEST_F(ProxyProcessTest, AnswersNobodyBeforeItKnowsTheWorkersState) {
  RawClient early(port_);
  early.send(get_request("/health"));
  start_untold();
  const std::string process = "/proc/" + std::to_string(pid_);
  const auto has = [&](const char* file, std::string_view text) {
    return read_file(process + file, 1 << 20).value_or("").find(text) != std::string::npos;
  };
  const auto until = std::chrono::steady_clock::now() + kHangGuard;
  while (!has("/maps", "/ledger\n") || !has("/stat", ") S "))
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "it never waits";
  EXPECT_TRUE(early.is_silent());
  tell(ModelPhase::kReady);
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().target(), "/health");
  server.answer(200, "well");
  EXPECT_EQ(early.read_response().body, "well");
  EXPECT_EQ(hear(), ProxyNotice::kServing);
}

TEST_F(ProxyProcessTest, ForwardsWhenTheModelIsReady) {
  start();
  make_ready();
  RawClient client(port_);
  client.send(get_request("/health"));
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().target(), "/health");
  server.answer(200, "well");
  EXPECT_EQ(client.read_response().body, "well");
  // What was kept for the next request belongs to the process that is gone.
  tell(ModelPhase::kUnhealthy);
  EXPECT_EQ(server.wait_for_end(), End::kEof);
  ask_until(get_request("/health"), 503);
}

// They stayed resident, twenty at a time: the allocator had learned to keep what it was given back.
TEST_F(ProxyProcessTest, GivesTheMemoryOfLargeUploadsBack) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's allocator keeps what is freed for a while";
#endif
  auto resident_kib = [&] {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; status >> word;)
      if (std::size_t kib = 0; word == "RssAnon:" && status >> kib) return kib;
    throw std::runtime_error("no RssAnon");
  };
  constexpr std::size_t kBody = 20 << 20;
  start();
  make_ready({pem_of(test_key().get())});
  const std::size_t before = resident_kib();
  Route route;
  for (int round = 0; round < 3; ++round) {
    std::vector<RawClient> clients;
    std::vector<UpstreamConnectionInTest> servers;
    for (int i = 0; i < 2; ++i, ++route.reqnum) {
      clients.emplace_back(port_);
      clients.back().send(post_request(
          "/generate", wrapped_body(route, "{\"inputs\": \"" + std::string(kBody, 'x') + "\"}")));
      servers.push_back(server_.accept());
      servers.back().read_request();
    }
    EXPECT_GT(resident_kib(), before + kBody / 1024) << "they are here";
    for (UpstreamConnectionInTest& server : servers) server.answer(200, "{}", "Connection: close\r\n");
    for (RawClient& client : clients) EXPECT_EQ(client.read_response().status(), 200);
  }
  auto until = std::chrono::steady_clock::now() + kHangGuard;
  while (resident_kib() > before + kBody / 1024 / 2)
    ASSERT_LT(std::chrono::steady_clock::now(), until) << resident_kib() << " KiB, before: " << before;
}

TEST_F(ProxyProcessTest, TakesNewKeysAndAsksForThemWhenSignaturesFail) {
  auto other = make_key(2048);
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  make_ready({pem_of(other.get())});
  Route route;
  std::string request = post_request("/generate", wrapped_body(route, R"({"inputs": "x"})"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(request).status(), 401);
  EXPECT_EQ(hear(), ProxyNotice::kSignaturesFailing);
  server_.stop_listening();
  tell(ModelPhase::kLoading, {pem_of(test_key().get()), pem_of(other.get())});
  ask_until(request, 503);
  EXPECT_EQ(ledger_->snapshot().totals.rejected.requests, 1);
}

TEST_F(ProxyProcessTest, SaysThatItHasDrainedWhenItsLastRequestHasEnded) {
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  make_ready({pem_of(test_key().get())});
  RawClient client(port_);
  client.send(post_request("/generate", wrapped_body(Route(), R"({"inputs": "x"})")));
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  tell(ModelPhase::kDraining, {pem_of(test_key().get())});
  ask_until(get_request("/health"), 503);
  EXPECT_EQ(ledger_->snapshot().in_flight.size(), 1u);
  EXPECT_FALSE(has_said(ProxyNotice::kDrained));
  server.answer(200, "done");
  EXPECT_EQ(client.read_response().body, "done");
  EXPECT_EQ(hear(), ProxyNotice::kDrained);
  EXPECT_EQ(ledger_->snapshot().totals.served.requests, 1);
}

// The books don't know of it.
TEST_F(ProxyProcessTest, ADrainWaitsForARequestWithoutASignature) {
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  make_ready();
  RawClient client(port_);
  client.send(get_request("/health"));
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  tell(ModelPhase::kDraining);
  ask_until(get_request("/health"), 503);
  // From one to the next it looks twenty times whether it has drained.
  EXPECT_TRUE(says_only_that_it_lives(2)) << "it would be ended now";
  server.answer(200, "well");
  EXPECT_EQ(client.read_response().body, "well");
  EXPECT_EQ(hear(), ProxyNotice::kDrained);
}

// Another proxy has taken the socket over; what this one has goes on to its end.
TEST_F(ProxyProcessTest, RetiresWithoutRefusingOrCuttingAnything) {
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  make_ready({pem_of(test_key().get())});
  RawClient slow(port_);
  slow.send(post_request("/generate", wrapped_body(Route(), R"({"inputs": "x"})")));
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  RawClient kept(port_);
  EXPECT_EQ(kept.exchange(get_request("/ping")).header("Connection"), "keep-alive");

  tell(ModelPhase::kReady, {pem_of(test_key().get())}, true);
  // A connection that waits for its next request gets an answer, and is told that it is the last one.
  RawMessage last;
  do {
    last = kept.exchange(get_request("/ping"));
    EXPECT_EQ(last.body, "pong");
  } while (last.header("Connection") == "keep-alive");
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_EQ(kept.wait_for_end(), End::kEof);
  RawClient late(port_);
  UniqueFd taken(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(taken) << "it is left to the next proxy";

  EXPECT_FALSE(has_said(ProxyNotice::kDrained));
  server.answer(200, "done");
  EXPECT_EQ(slow.read_response().body, "done");
  // It was promised another answer before the proxy retired.
  EXPECT_EQ(slow.exchange(get_request("/ping")).header("Connection"), "close");
  EXPECT_EQ(slow.wait_for_end(), End::kEof);
  EXPECT_EQ(hear(), ProxyNotice::kDrained);
}

TEST_F(ProxyProcessTest, ServesOnSeveralThreads) {
  settings_.threads = 3;
  start();
  for (int i = 0; i < 9; ++i) EXPECT_EQ(ask(get_request("/ping")).body, "pong");
}

// One thread of the program, held where it is while the others go on. It goes on when this goes.
class HeldThread {
 public:
  explicit HeldThread(pid_t thread) : thread_(thread) {
    held_ = ::ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) == 0;
    if (!held_) return;
    ::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr);
    int status = 0;
    ::waitpid(thread_, &status, __WALL);
  }
  ~HeldThread() {
    if (held_) ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
  }
  HeldThread(const HeldThread&) = delete;
  // False: this system doesn't let a test do so.
  bool held() const { return held_; }

 private:
  const pid_t thread_;
  bool held_ = false;
};

// The supervisor replaces a proxy that doesn't say so for a while, whichever of its loops hangs.
TEST_F(ProxyProcessTest, SaysThatItLivesOnlyWhileEachOfItsLoopsTurns) {
  settings_.threads = 2;
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  EXPECT_TRUE(says_only_that_it_lives(2));
  // The loops beyond the first have the youngest threads.
  pid_t youngest = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task"))
    youngest = std::max(youngest, static_cast<pid_t>(std::stol(thread.path().filename())));
  ASSERT_NE(youngest, pid_);
  {
    const HeldThread hung(youngest);
    if (!hung.held()) GTEST_SKIP() << "NOT TESTED: this system lets nobody hold a thread of the proxy";
    // The turns that it made before count for one more word.
    const auto held = std::chrono::steady_clock::now();
    while (says_something_within(3 * kAliveInterval))
      ASSERT_LT(std::chrono::steady_clock::now(), held + 3 * kAliveInterval) << "it says that it lives";
    // It was a loop, and not the first: of the connections that come, it would have every second one.
    RawClient one(port_), other(port_);
    one.send(get_request("/ping"));
    other.send(get_request("/ping"));
    EXPECT_EQ(one.read_response().body, "pong");
    EXPECT_TRUE(other.is_silent());
  }
  EXPECT_TRUE(says_only_that_it_lives(2)) << "it turns again";
}

// With the coroutines of its requests go their entries in the books.
TEST_F(ProxyProcessTest, WhatIsInFlightAtItsEndIsErrored) {
  start();
  make_ready({pem_of(test_key().get())});
  std::vector<RawClient> clients;
  std::vector<UpstreamConnectionInTest> servers;
  for (std::uint64_t i = 0; i < 3; ++i) {
    Route route;
    route.reqnum = i + 1;
    route.request_idx = static_cast<std::int64_t>(i);
    clients.emplace_back(port_).send(post_request("/generate", wrapped_body(route, R"({"inputs": "x"})")));
    servers.push_back(server_.accept());
    servers.back().read_request();
  }
  ::kill(pid_, SIGTERM);
  EXPECT_EQ(exit_status(), 0);
  EXPECT_TRUE(ledger_->snapshot().in_flight.empty());
  EXPECT_THAT(ledger_->finished(false, 10), testing::UnorderedElementsAre(0, 1, 2));
}

TEST_F(ProxyProcessTest, ASessionSurvivesAProxyThatIsKilled) {
  Route route;
  std::string created = post_request("/session/create", wrapped_body(route, R"({"lifetime": 600})"));
  start();
  make_ready({pem_of(test_key().get())});
  RawMessage response = ask(created);
  ASSERT_EQ(response.status(), 201);
  std::string id = nlohmann::json::parse(response.body)["session_id"];
  ::kill(pid_, SIGKILL);
  EXPECT_TRUE(killed(status_of(std::exchange(pid_, 0))));

  start();
  make_ready({pem_of(test_key().get())});
  EXPECT_EQ(ask(created).status(), 401);  // nor is a replay forgotten
  RawClient client(port_);
  client.send(post_request("/generate",
                           wrapped_body(route, R"({"inputs": "x"})", ", \"session_id\": \"" + id + "\"")));
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.answer(200, "served");
  EXPECT_EQ(client.read_response().body, "served");
}

TEST_F(ProxyProcessTest, ServesTheSessionsPortWhereThereIsOne) {
  session_listener_ = listen(session_port_);
  start();
  RawClient client(session_port_);
  EXPECT_EQ(client.exchange(get_request("/ping")).status(), 404);
  EXPECT_EQ(client.exchange(post_request("/session/end", R"({"session_id": "unknown"})")).status(), 400);
}

TEST_F(ProxyProcessTest, EndsWithItsSupervisor) {
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  control_.reset();
  EXPECT_EQ(exit_status(), 0);
}

TEST_F(ProxyProcessTest, EndsOnSigterm) {
  start();
  EXPECT_EQ(hear(), ProxyNotice::kServing);
  ::kill(pid_, SIGTERM);
  EXPECT_EQ(hear(), std::nullopt);
  EXPECT_EQ(exit_status(), 0);
}

TEST_F(ProxyProcessTest, DoesNotStartWithoutABackend) {
  settings_.backend.erase("endpoints");
  start();
  EXPECT_EQ(exit_status(), 64);
}

TEST_F(ProxyProcessTest, DoesNotStartForAServerThatIsNoAddress) {
  settings_.server_url = "http://model.example:5001";
  start();
  EXPECT_EQ(exit_status(), 64);
}

TEST_F(ProxyProcessTest, DoesNotStartWithoutALedger) {
  settings_.ledger = folder_ / "nothing";
  start();
  EXPECT_EQ(exit_status(), 69);
}

}  // namespace
}  // namespace cppworker
