#include "supervisor/worker_stop.hpp"

#include <utility>
#include <boost/asio/co_spawn.hpp>

#include "common/logging.hpp"

namespace cppworker {
namespace {

// After everything has stopped, for the autoscaler to hear the end of it. An instance that is taken away
// doesn't wait much longer.
constexpr std::chrono::seconds kLastReportLimit{3};

}  // namespace

WorkerStop::WorkerStop(WorkerParts& parts, std::function<void()> on_begin)
    : parts_(parts), on_begin_(std::move(on_begin)), changed_(parts.io) {}

void WorkerStop::on_signal(int number) {
  if (ending_.stopping) {
    spdlog::warn("Signal {} again: no more waiting", number);
    hurried_ = true;
    // Whichever is stopping now; run() hurries what comes later.
    parts_.model->service().post(ServiceEventKind::kHurry);
    parts_.proxy->hurry();
    changed_.cancel();
    return;
  }
  spdlog::info("Signal {}: draining, {} s at the most", number, parts_.settings.drain_timeout_s);
  begin();
}

void WorkerStop::on_give_up(const Service& service, ExitCode code) {
  // The first one says why. But what can't be ended is worse than what ended too often: the machine needs
  // more than another start.
  const bool stuck = service.state().phase == ServicePhase::kStuck;
  if (exit_code_ == kExitClean || (stuck && exit_code_ != kExitUnkillable)) {
    exit_code_ = stuck ? kExitUnkillable : code;
    ending_.last_words = service.last_error();
  }
  changed_.cancel();
  if (!ending_.stopping) begin();
}

void WorkerStop::reporter_ended() {
  reporter_ended_ = true;
  changed_.cancel();
}

void WorkerStop::begin() {
  ending_.stopping = true;
  asio::co_spawn(parts_.io, run(), rethrow);
}

// Looks again after each change. Without a limit only for what the state machines promise to reach.
template <class Predicate>
Awaitable<> WorkerStop::wait_for(Predicate reached, std::chrono::seconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!reached() && std::chrono::steady_clock::now() < until) {
    changed_.expires_at(until);
    co_await changed_.async_wait(kTuple);
  }
}

// The proxy last, so that it can say why to those who come.
Awaitable<> WorkerStop::run() {
  on_begin_();
  co_await wait_for([this] { return hurried_ || parts_.proxy->drained(); },
                    std::chrono::seconds(parts_.settings.drain_timeout_s));
  parts_.model->service().post(ServiceEventKind::kWantDown);
  if (hurried_) parts_.model->service().post(ServiceEventKind::kHurry);
  co_await wait_for([this] { return is_over(parts_.model->service().state().phase); });
  co_await parts_.model->service().end_commands();
  parts_.proxy->stop();
  if (hurried_) parts_.proxy->hurry();
  co_await wait_for([this] { return parts_.proxy->is_over(); });
  if (parts_.reporter) {
    parts_.reporter->poke();
    parts_.reporter->stop();
    co_await wait_for([this] { return reporter_ended_; }, kLastReportLimit);
  }
  spdlog::info("Stopped, exit code {}", static_cast<int>(exit_code_));
  parts_.io.stop();
}

}  // namespace cppworker
