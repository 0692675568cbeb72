#include "proxy/app.hpp"

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "common/large_blocks.hpp"
#include "common/logging.hpp"
#include "common/startup_pages.hpp"
#include "common/url.hpp"
#include "launchers/backend_definition.hpp"
#include "proxy/access_log.hpp"
#include "proxy/body_buffer.hpp"
#include "proxy/control_client.hpp"
#include "proxy/descriptor_budget.hpp"
#include "proxy/listener.hpp"
#include "proxy/open_now.hpp"
#include "proxy/privileges.hpp"
#include "proxy/proxy_core.hpp"
#include "proxy/session_keeper.hpp"
#include "proxy/state_handover.hpp"
#include "proxy/upkeep.hpp"

namespace cppworker {
namespace {

using asio::ip::tcp;

// How often a draining proxy looks whether its last request has ended.
constexpr std::chrono::milliseconds kDrainCheck{50};

// How often it is looked whether another proxy has left a place at the inference server free. It says so at
// once, by way of the supervisor; this is for a word that gets lost.
constexpr std::chrono::seconds kPlaceLook{1};

// Twice for each word to the supervisor, so that no loop that turns is found to stand still.
constexpr std::chrono::milliseconds kTurnInterval = std::chrono::milliseconds(kAliveInterval) / 2;
// Halves of seconds are whole seconds, and half of one is none: a loop that never sleeps.
static_assert(kTurnInterval > std::chrono::milliseconds(0));

// What ends the process of its own accord; the supervisor starts another.
constexpr int kExitBroken = 70;

std::int64_t lowered_to(std::int64_t wanted, std::size_t descriptors) {
  const std::int64_t most = affordable_connections(descriptors);
  if (wanted > most)
    spdlog::warn("Only {} connections instead of {}: the limit of descriptors is {}; raise it (ulimit -n)",
                 most, wanted, descriptors);
  return std::min(wanted, most);
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

class ProxyApp {
 public:
  ProxyApp(const ProxySettings& settings, std::uint64_t owner, const BackendDefinition& backend,
           Ledger& ledger, tcp::endpoint server)
      : core_{.settings = settings,
              .owner = owner,
              .ledger = ledger,
              .endpoints = {backend,
                            ledger,
                            static_cast<std::uint64_t>(settings.max_body_bytes),
                            settings.max_json_depth,
                            static_cast<std::size_t>(settings.max_queue),
                            {owner, [this] { control_->send(ProxyNotice::kTellOthers); }}},
              .verdicts = {},
              .bodies = MemoryBudget(static_cast<std::uint64_t>(settings.max_buffered_bytes)),
              .connection_limits = {},
              .relay_limits = {},
              .ask_for_key = [this] { control_->send(ProxyNotice::kSignaturesFailing); },
              .ask_for_update = [this] { control_->send(ProxyNotice::kUpdateRequested); },
              .tell_others = [this] { control_->send(ProxyNotice::kTellOthers); },
              .access_log = settings.access_log ? access_log_on_stderr() : AccessLog{}} {
    core_.connection_limits.last_answer = &core_.retiring;
    core_.connection_limits.head_bytes = static_cast<std::uint32_t>(settings.max_header_bytes);
    core_.relay_limits.first_byte = std::chrono::seconds(settings.first_byte_timeout_s);
    core_.relay_limits.between = std::chrono::seconds(settings.between_bytes_timeout_s);
    core_.relay_limits.whole = std::chrono::seconds(settings.whole_timeout_s);
    core_.relay_limits.websocket_idle = std::chrono::seconds(settings.websocket_idle_timeout_s);
    core_.relay_limits.hold = std::chrono::seconds(settings.hold_timeout_s);
    for (int i = 0; i < settings.threads; ++i) {
      auto thread = std::make_unique<ProxyThread>(core_, server);
      for (const Endpoint& endpoint : core_.endpoints.all())
        thread->workloads.push_back(std::make_unique<WorkloadEvaluator>(endpoint.definition.workload));
      threads_.push_back(std::move(thread));
    }
    control_ = std::make_unique<ControlClient>(first().get_executor(), kControlFd);
  }

  int run() {
    acceptor_.emplace(first(), tcp::v4(), kListenerFd);
    asio::signal_set signals(first(), SIGTERM, SIGINT);
    signals.async_wait([this](boost::system::error_code error, int) {
      if (!error) stop();
    });
    // A state that was taken in by half isn't mended by going on with the next.
    asio::co_spawn(first(),
                   control_->run([this](const WorkerState& state) { on_state(state); },
                                 [this] { asio::post(first(), [this] { look(); }); }),
                   [this](std::exception_ptr failure) {
                     if (failure) return give_up(failure);
                     spdlog::info("The supervisor is gone");
                     stop();
                   });
    for (auto& each : threads_) {
      ProxyThread& thread = *each;
      keep(thread.io, "ticker of deadlines", [&thread] { return thread.ticker.run(); });
      keep(thread.io, "count of turns", [&thread] { return count_turns(thread); });
    }
    keep(first(), "word that it lives", [this] { return report_alive(); });
    keep(first(), "look for places", [this] { return look_for_places(); });
    forget_startup_pages();

    std::vector<std::thread> running;
    for (std::size_t i = 1; i < threads_.size(); ++i)
      running.emplace_back([this, io = &threads_[i]->io] {
        auto work = asio::make_work_guard(*io);
        turn(*io);
      });
    turn(first());
    for (std::thread& thread : running) thread.join();
    for (Admission& admission : core_.endpoints.admissions()) admission.close();
    return broken_ ? kExitBroken : 0;
  }

 private:
  asio::io_context& first() { return threads_.front()->io; }

  void stop() {
    for (auto& thread : threads_) thread->io.stop();
  }

  // Not before every thread knows the worker's state: what comes until then waits in the backlog, and would
  // else be told that the model is loading.
  void serve() {
    keep(first(), "listener", [this] { return run_listener(*acceptor_, threads_, Door::kPublic); });
    // Missing where the proxy was started by hand.
    if (is_listening(kSessionListenerFd)) {
      session_acceptor_.emplace(first(), tcp::v4(), kSessionListenerFd);
      keep(first(), "listener for sessions",
           [this] { return run_listener(*session_acceptor_, threads_, Door::kSessions); });
    }
    keep(first(), "keeper of sessions", [this] { return keep_sessions(*threads_.front()); });
    control_->send(ProxyNotice::kServing);
  }

  void turn(asio::io_context& io) {
    try {
      run_loop(io);
    } catch (...) {
      give_up(std::current_exception());
    }
  }

  // Without this work the process is of no use: it is kept up, or all ends.
  void keep(asio::io_context& io, const char* name, std::function<Awaitable<>()> work) {
    asio::co_spawn(io, keep_running(name, std::move(work)), [this](std::exception_ptr failure) {
      if (failure) give_up(failure);
    });
  }

  // From any thread.
  void give_up(std::exception_ptr failure) {
    spdlog::critical("The proxy ends itself: {}", message_of(failure));
    broken_ = true;
    stop();
  }

  // Another proxy has changed something in the ledger.
  void look() {
    for (Admission& admission : core_.endpoints.admissions()) admission.look_again();
    look_after_session_requests(core_, unix_milliseconds());
  }

  Awaitable<> look_for_places() {
    while (true) {
      co_await sleep_for(kPlaceLook);
      for (Admission& admission : core_.endpoints.admissions()) admission.look_again();
    }
  }

  void on_state(const WorkerState& state) {
    auto keys = KeyRing::from_pems(state.public_keys);
    if (!keys) spdlog::error("{}; requests are refused until there is a good one", keys.error().message);
    if (state.max_perf > 0)
      for (Admission& admission : core_.endpoints.admissions()) admission.declare_rate(state.max_perf * 1000);
    LiveState live;
    live.phase = state.phase;
    live.load_seconds = state.load_seconds;
    live.keys = keys ? *keys : nullptr;
    live.update_digest = state.update_digest;
    live.tls = tls_context(state);
    if (state.retiring && !core_.retiring.exchange(true)) retire();
    bool begins_draining = state.phase == ModelPhase::kDraining && !std::exchange(draining_, true);
    // Not before: a thread that still goes by the old state may let another request in.
    hand_over(live, threads_, [this, begins_draining] {
      if (!std::exchange(serving_, true)) serve();
      if (begins_draining) keep(first(), "word of the drain's end", [this] { return report_drained(); });
    });
  }

  // The context for what the supervisor sent; the one before it, as long as that hasn't changed or is of no
  // use.
  TlsContext tls_context(const WorkerState& state) {
    bool same = state.certificate == certificate_ && state.private_key == private_key_;
    if (same || state.certificate.empty()) return tls_;
    certificate_ = state.certificate;
    private_key_ = state.private_key;
    auto made = make_tls_context(certificate_, private_key_);
    if (made)
      tls_ = *made;
    else
      spdlog::error("{}; {}", made.error().message,
                    tls_ ? "the one before it stays in use" : "nobody can be served");
    return tls_;
  }

  // The next proxy accepts what waits in the backlog: the socket stays open there.
  void retire() {
    boost::system::error_code ignored;
    acceptor_->close(ignored);
    if (session_acceptor_) session_acceptor_->close(ignored);
    keep(first(), "word of retirement", [this] { return report_retired(); });
  }

  // What is idle ends by its own deadline at the latest: closing it sooner might cross a request on its way.
  Awaitable<> report_retired() {
    // Not at once: one may have been accepted already that isn't counted yet.
    do co_await sleep_for(kDrainCheck);
    while (core_.connections.load() + core_.session_connections.load() > 0);
    control_->send(ProxyNotice::kDrained);
  }

  static Awaitable<> count_turns(ProxyThread& thread) {
    while (true) {
      thread.turns.fetch_add(1, std::memory_order_relaxed);
      thread.pool.drop_stale();
      co_await sleep_for(kTurnInterval);
    }
  }

  // A word to the supervisor as long as every thread's loop turns: one that hangs keeps it from being said.
  Awaitable<> report_alive() {
    std::vector<std::uint64_t> seen(threads_.size(), 0);
    while (true) {
      core_.ledger.say_open(core_.owner, open_now(core_));
      bool all = true;
      for (std::size_t i = 0; i < threads_.size(); ++i)
        all = all && threads_[i]->turns.load(std::memory_order_relaxed) != seen[i];
      if (all) {
        for (std::size_t i = 0; i < threads_.size(); ++i)
          seen[i] = threads_[i]->turns.load(std::memory_order_relaxed);
        control_->send(ProxyNotice::kAlive);
      }
      co_await sleep_for(kAliveInterval);
    }
  }

  // Tells the supervisor when no request of this proxy is in the books any more, and none is being answered:
  // those without a signature aren't in the books, and the others leave them before their answer's last byte.
  Awaitable<> report_drained() {
    while (true) {
      LedgerSnapshot books = core_.ledger.snapshot();
      bool mine = std::any_of(books.in_flight.begin(), books.in_flight.end(),
                              [&](const InFlightRequest& request) { return request.owner == core_.owner; });
      if (!mine && core_.answering.load() == 0) break;
      co_await sleep_for(kDrainCheck);
    }
    control_->send(ProxyNotice::kDrained);
  }

  ProxyCore core_;
  std::vector<std::unique_ptr<ProxyThread>> threads_;
  std::unique_ptr<ControlClient> control_;
  std::string certificate_, private_key_;                     // what was sent last, and
  TlsContext tls_;                                            // the newest of use
  std::optional<tcp::acceptor> acceptor_, session_acceptor_;  // of a running proxy that doesn't retire
  bool draining_ = false, serving_ = false;
  std::atomic<bool> broken_ = false;
};

}  // namespace

int run_proxy(const ProxySettings& settings, std::uint64_t owner) {
  give_large_blocks_back(kLargeBlock);
  auto backend = read_part_for_proxy(settings.backend, "the proxy's settings");
  if (!backend) {
    spdlog::critical("{}", backend.error().message);
    return 64;
  }
  auto url = parse_url(settings.server_url);
  auto server = url ? server_endpoint(*url) : url.error();
  if (!server) {
    spdlog::critical("{}", server.error().message);
    return 64;
  }
  move_server(*backend, *url);
  auto ledger = Ledger::attach(settings.ledger);
  if (!ledger) {
    spdlog::critical("{}", ledger.error().message);
    return 69;
  }
  if (settings.unsecured)
    spdlog::warn("UNSECURED: every request is let in without a signature; for local development only");
  auto descriptors = raise_descriptor_limit();
  if (!descriptors) spdlog::warn("{}", descriptors.error().message);
  ProxySettings effective = settings;
  if (descriptors) effective.max_connections = lowered_to(settings.max_connections, *descriptors);
  if (auto dropped = drop_privileges(settings.user); !dropped) {
    spdlog::critical("{}", dropped.error().message);
    return 69;
  }
  ProxyApp app(effective, owner, *backend, **ledger, *server);
  return app.run();
}

}  // namespace cppworker
