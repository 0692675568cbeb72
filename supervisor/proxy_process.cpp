#include "supervisor/proxy_process.hpp"

#include <csignal>
#include <random>

#include "common/logging.hpp"
#include "supervisor/environment.hpp"

namespace cppworker {
namespace {

// With glibc's own 7 blocks of a size for each thread, the dozen coroutines of each of a hundred requests at
// once go the slow way through the allocator: a tenth of a request's CPU.
constexpr const char* kAllocatorSetting = "GLIBC_TUNABLES=glibc.malloc.tcache_count=128";

// The proxy's silence is counted in turns of our own loop, one each kAliveInterval, and not by the clock:
// when the whole instance was stopped and goes on (a checkpoint, SIGSTOP to all), hours count as the one turn
// that is late, and the proxy has all others to take up its word again.
constexpr int kLongestSilence = static_cast<int>(kAliveTimeout / kAliveInterval);

}  // namespace

ServicePolicy proxy_policy(int most_failures) {
  ServicePolicy policy;
  // Reading a definition and mapping a file takes milliseconds.
  policy.start_deadline = std::chrono::seconds(10);
  // It is stopped after its requests have drained: nothing is left to wait for.
  policy.stop = {{.signal = SIGTERM, .wait = std::chrono::seconds(5)}};
  policy.kill_timeout = std::chrono::seconds(5);
  // Clients wait in the backlog: every moment counts, and a start costs little.
  policy.backoff_first = std::chrono::milliseconds(50);
  policy.backoff_most = std::chrono::seconds(10);
  // 30 are four minutes of nothing but crashes. The model, which may have taken an hour to load, goes with
  // it: so not before it is clear that nobody is being served any more. One that hangs in its start, deaf to
  // SIGTERM, takes 25 s a time with its wait: 30 of them never come together in ten minutes.
  policy.give_up = {
      {.causes = {}, .failures = most_failures, .window = std::chrono::minutes(10)},
      {.causes = {FailureCause::kStartDeadline}, .failures = 10, .window = std::chrono::minutes(10)}};
  return policy;
}

ProxyProcess::ProxyProcess(asio::io_context& io, ProcessRunner& processes, Ledger& ledger,
                           ProxyServiceSetup setup)
    : io_(io),
      ledger_(ledger),
      setup_(std::move(setup)),
      next_count_(io),
      service_(io, processes, "proxy", proxy_policy(setup_.most_failures),
               {.make_spec = [this](const std::string& mark) { return make_spec(mark); },
                .on_output = {},
                .on_launched =
                    [this] {
                      for_proxy_.reset();
                      control_->send(state_);
                    },
                .on_ready = {},
                .on_not_ready = {},
                .start_measuring = {},
                .on_gone = [this](std::uint64_t) { on_gone(); },
                .on_change = [this] { on_change(); },
                .on_give_up =
                    [this] {
                      if (setup_.on_give_up) setup_.on_give_up(service_);
                    },
                .records = setup_.records,
                .memory_group = setup_.memory_group,
                .on_failure = [this](PostMortem& made) { add_requests(made, ledger_.snapshot(), owner_); },
                .on_failed =
                    [this](const PostMortem& made) {
                      if (!setup_.post_mortem_folder.empty())
                        keep_post_mortem(setup_.post_mortem_folder, made);
                    }}) {}

Result<ProcessSpec> ProxyProcess::make_spec(const std::string& tree_mark) {
  auto pair = ControlSocket::make_pair(io_.get_executor(), [this](ProxyNotice notice) { on_notice(notice); });
  if (!pair) return pair.error();
  control_ = std::move(pair->ours);
  for_proxy_ = std::move(pair->theirs);
  std::random_device random;
  owner_ = (std::uint64_t{random()} << 32 | random()) | 1;  // never 0: that marks a free entry

  ProcessSpec spec;
  spec.name = "proxy";
  spec.program = setup_.program;
  spec.args = {"--settings", setup_.settings_file, "--owner", std::to_string(owner_)};
  if (setup_.log_json) spec.args.emplace_back("--json-log");
  spec.environment = child_environment({}, {}, tree_mark);  // it parses strangers' bytes: it gets nothing
  spec.environment.emplace_back(kAllocatorSetting);
  spec.pass_fds = {setup_.listener, for_proxy_.get(), setup_.session_listener};
  spec.capture_output = false;
  return spec;
}

void ProxyProcess::count_silence() {
  next_count_.expires_after(kAliveInterval);
  next_count_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    if (++silence_ <= kLongestSilence || control_->has_unread()) return count_silence();
    spdlog::error("proxy: its loops have not turned for {} s; it is replaced", kAliveTimeout.count());
    service_.post(ServiceEventKind::kUnhealthy);
    service_.post(ServiceEventKind::kHurry);  // what hangs doesn't heed SIGTERM
  });
}

void ProxyProcess::on_gone() {
  next_count_.cancel();
  if (control_) control_->close();
  if (owner_ == 0) return;
  std::size_t lost = ledger_.settle(owner_);
  if (lost > 0)
    spdlog::warn("proxy: {} requests in flight were lost with it; they are reported as failed", lost);
  owner_ = 0;
  setup_.on_notice(ProxyNotice::kTellOthers);
}

void ProxyProcess::on_notice(ProxyNotice notice) {
  silence_ = 0;
  if (notice == ProxyNotice::kServing) {
    drained_ = false;
    service_.post(ServiceEventKind::kSeenReady);
    count_silence();
  }
  if (notice == ProxyNotice::kDrained) {
    drained_ = true;
    if (retiring()) service_.post(ServiceEventKind::kWantDown);
  }
  setup_.on_notice(notice);
}

void ProxyProcess::on_change() {
  const ServicePhase phase = service_.state().phase;
  const bool died = phase == ServicePhase::kSweeping || phase == ServicePhase::kBackoff;
  if (died && retiring()) service_.post(ServiceEventKind::kWantDown);
  setup_.on_change();
}

void ProxyProcess::set_state(const WorkerState& state) {
  const bool retiring = state_.retiring;
  state_ = state;
  state_.retiring = retiring;
  if (control_) control_->send(state_);
}

void ProxyProcess::look() {
  if (control_) control_->send_look();
}

void ProxyProcess::retire() {
  state_.retiring = true;
  drained_ = false;
  if (control_) control_->send(state_);
  // Nothing would come of a launch that it waits for.
  const ServicePhase phase = service_.state().phase;
  const bool gone = phase == ServicePhase::kSweeping || phase == ServicePhase::kBackoff;
  if (gone) service_.post(ServiceEventKind::kWantDown);
}

}  // namespace cppworker
