#include "tests/stand_ins/stage.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

#include "common/unique_fd.hpp"

namespace cppworker::stand_ins {
namespace {

constexpr int kPipeBuffer = 8192;  // Python's, for a stdout that is no terminal
constexpr std::chrono::milliseconds kShardPoll{5};
constexpr int kDownloadBars = 10;
constexpr std::chrono::seconds kLongestWait{10};  // of a control route: below the tests' own timeouts
constexpr char kPreparingPage[] =
    "<!DOCTYPE html><html><body><h1>Preparing your container...</h1></body></html>\n";

constexpr char kStickyError[] =
    R"({"error":"CUDA error: device-side assert triggered","error_type":"generation"})";
constexpr char kLoadingError[] =
    R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})";

bool buffered = false;

[[noreturn]] void crash(const std::string& kind) {
  // A loop that is stuck: it answers nothing any more, and doesn't come to its handler of SIGTERM either.
  while (kind == "hang") ::pause();
  if (kind != "segv" && kind != "kill") {
    std::fflush(stdout);
    std::_Exit(1);
  }
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int signal = kind == "segv" ? SIGSEGV : SIGKILL;
  ::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
  for (;;) ::pause();
}

// Waits for one byte in the FIFO. Opened for writing, too: else it would read as ended until a writer comes.
Awaitable<> wait_at_gate(asio::io_context& io, const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    print_error("stand-in: cannot open the gate " + path + ": " + std::strerror(errno));
    std::_Exit(2);
  }
  asio::posix::stream_descriptor gate(io, fd.release());
  char byte;
  co_await gate.async_read_some(asio::buffer(&byte, 1), kTuple);
}

}  // namespace

void set_up_stdout(const Settings& settings) {
  buffered = settings.role != Role::kTgi && !std::getenv("PYTHONUNBUFFERED");
  if (buffered) std::setvbuf(stdout, nullptr, _IOFBF, kPipeBuffer);
}

void print_line(const std::string& line) {
  std::fwrite((line + "\n").data(), 1, line.size() + 1, stdout);
  if (!buffered) std::fflush(stdout);
}

void print_error(const std::string& line) {
  std::fwrite((line + "\n").data(), 1, line.size() + 1, stderr);
}

Stage::Stage(asio::io_context& io, const Settings& settings, std::size_t largest_body)
    : io_(io), settings_(settings), server_(io, *this, largest_body), changed_(io) {
  changed_.expires_at(asio::steady_timer::time_point::max());
}

Awaitable<> Stage::live() {
  if (settings_.ignore_term) {
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);
    co_await start();
    co_return;
  }
  if (!handles_term()) {
    co_await start();
    co_return;
  }
  using namespace asio::experimental::awaitable_operators;
  asio::signal_set signals(io_, SIGTERM, SIGINT);
  auto ended = co_await (start() || signals.async_wait(kTuple));
  if (ended.index() == 0) co_await signals.async_wait(kTuple);
  co_await stop();
  std::fflush(stdout);
  std::_Exit(0);
}

Awaitable<> Stage::phase(const std::string& name) {
  const bool first = settings_.once_file.empty() || !std::filesystem::exists(settings_.once_file);
  const bool fails = name == "load" && !settings_.fatal_line.empty();
  const bool crashes = name == settings_.crash_phase, hangs = name == settings_.hang_phase;
  if (!first || !(fails || crashes || hangs)) co_return;
  if (!settings_.once_file.empty()) std::ofstream(settings_.once_file) << name << "\n";
  if (fails) {
    print_error(settings_.fatal_line);
    fatal_ = true;
  }
  if (crashes) crash(settings_.crash_kind);
  if (hangs) co_await hang();
}

Awaitable<> Stage::hang() {
  const bool silent = settings_.hang_log.count() == 0;
  asio::steady_timer timer(io_);
  for (int round = 1;; ++round) {
    if (silent) timer.expires_at(asio::steady_timer::time_point::max());
    if (!silent) timer.expires_after(settings_.hang_log);
    co_await timer.async_wait(kTuple);
    print_error("Waiting for the shard to be ready... " + std::to_string(round));
  }
}

Awaitable<> Stage::download() {
  if (settings_.download.count() == 0) co_return;
  for (int bar = 1; bar <= kDownloadBars; ++bar) {
    co_await sleep_for(settings_.download / kDownloadBars);
    const std::string percent = std::to_string(100 * bar / kDownloadBars);
    std::fputs(("\rmodel.safetensors: " + percent + "%|" + std::string(bar, '#')).c_str(), stderr);
  }
  std::fputs("\n", stderr);
}

Awaitable<> Stage::load() {
  if (settings_.preparing_page || settings_.loading_503) {
    preparing_ = true;
    open();
  }
  co_await sleep_for(settings_.load);
  if (!settings_.ready_gate.empty()) co_await wait_at_gate(io_, settings_.ready_gate);
  preparing_ = false;
}

boost::system::error_code Stage::open() {
  if (opened_) return {};
  const auto ec = server_.open(settings_.host, settings_.port);
  opened_ = !ec;
  // No line of the real servers: tests that ask for port 0 read it.
  if (opened_) print_error("stand-in: listening on 127.0.0.1:" + std::to_string(server_.port()));
  return ec;
}

void Stage::start_shards() {
  for (int i = 0; i < settings_.shards; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setpgid(0, 0);
      ::prctl(PR_SET_NAME, "stand-in-shard");
      // Else the handler inherited from the parent would write into the pipe that both share.
      ::signal(SIGTERM, SIG_DFL);
      ::signal(SIGINT, SIG_DFL);
      for (;;) ::pause();
    }
    if (pid < 0) continue;
    ::setpgid(pid, pid);  // both do: whoever looks next finds it done
    shards_.push_back(pid);
  }
}

Awaitable<> Stage::stop_shards() {
  for (pid_t pid : shards_) ::kill(pid, SIGTERM);
  for (pid_t pid : shards_) {
    while (::waitpid(pid, nullptr, WNOHANG) == 0) co_await sleep_for(kShardPoll);
  }
}

Awaitable<> Stage::serve(Exchange& exchange) {
  if (exchange.request.path.starts_with("/stand_in/")) {
    co_await control(exchange);
    co_return;
  }
  const std::string sha256 = sha256_hex(exchange.request.body);
  open_entries_[&exchange] = log_.add(exchange.request, sha256);
  changed_.cancel();
  exchange.own_headers.emplace_back("x-stand-in-body-sha256", sha256);
  if (preparing_) {
    const bool unavailable = settings_.loading_503;
    const std::string page = unavailable ? kLoadingError : kPreparingPage;
    co_await exchange.answer(unavailable ? 503 : 200, unavailable ? "application/json" : "text/html", page);
    co_return;
  }
  if (broken_ && exchange.request.method == "POST") {
    co_await exchange.answer(500, "application/json", kStickyError);
    co_return;
  }
  co_await handle(exchange);
}

void Stage::done(const Exchange& exchange) {
  const auto entry = open_entries_.find(&exchange);
  if (entry == open_entries_.end()) return;
  entry->second->outcome = exchange.outcome;
  open_entries_.erase(entry);
  changed_.cancel();
}

void Stage::record_message(const Exchange& exchange, const std::string& text) {
  open_entries_.at(&exchange)->request["messages"].push_back(text);
}

Awaitable<> Stage::control(Exchange& exchange) {
  const std::string what = exchange.request.path.substr(std::string("/stand_in/").size());
  const std::string& body = exchange.request.body;
  nlohmann::json answer = nlohmann::json::object();
  const std::string path = exchange.request.query("path");
  const auto wanted = [&](const char* name) { return std::atoi(exchange.request.query(name).c_str()); };
  const int received = wanted("received"), finished = wanted("finished");
  const std::size_t held = what == "release" ? 1 : static_cast<std::size_t>(wanted("held"));
  const auto waits = [&] {
    return log_.received(path) < received || log_.finished(path) < finished || held_.size() < held;
  };
  asio::steady_timer limit(io_);
  limit.expires_after(kLongestWait);
  bool in_time = true;
  while (in_time && waits()) {
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (changed_.async_wait(kTuple) || limit.async_wait(kTuple));
    in_time = first.index() == 0;
  }
  if (what == "requests") {
    answer = state(path);
  } else if (what == "release") {
    answer["released"] = held_.size();
    release();
  } else if (what == "health") {
    healthy_ = body != "bad";
  } else if (what == "log") {
    print_line(body);
    std::fflush(stdout);
  } else if (what == "crash" && body == "sticky") {
    broken_ = true;
  } else if (what == "crash") {
    crash(body);
  } else {
    answer["error"] = "the stand-in has no such control";
  }
  const std::string text = answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  co_await exchange.answer(answer.contains("error") ? 404 : 200, "application/json", text);
}

nlohmann::json Stage::state(const std::string& path) const {
  return {{"requests", log_.entries(path)}, {"working", log_.working()}, {"peak_concurrency", log_.peak()},
          {"held", held_.size()},           {"pid", ::getpid()},         {"shards", shards_}};
}

void Stage::release() {
  const auto held = std::move(held_);
  held_.clear();
  for (asio::steady_timer* timer : held) timer->cancel();
}

Awaitable<bool> Stage::wait_for_release(Exchange& exchange, std::chrono::milliseconds limit) {
  asio::steady_timer timer(io_);
  timer.expires_after(limit);
  held_.insert(&timer);
  changed_.cancel();
  co_await exchange.wait(timer);
  co_return held_.erase(&timer) == 0;
}

Awaitable<> Stage::wait_for_release() {
  asio::steady_timer timer(io_);
  timer.expires_at(asio::steady_timer::time_point::max());
  held_.insert(&timer);
  changed_.cancel();
  co_await timer.async_wait(kTuple);
}

}  // namespace cppworker::stand_ins
