#include "proxy/state_handover.hpp"

#include <utility>
#include <boost/asio/post.hpp>

namespace cppworker {
namespace {

void take_state(ProxyThread& thread, LiveState live) {
  // What was pooled belongs to the process that is gone.
  if (live.phase != ModelPhase::kReady) thread.pool.clear();
  const bool other = live.phase != thread.live.phase;
  live.epoch = thread.live.epoch + (other ? 1 : 0);
  live.since = other ? LiveState::Clock::now() : thread.live.since;
  thread.live = std::move(live);
  thread.bell.ring();
}

// Used on the first thread alone.
struct Handover {
  std::size_t missing;  // threads that haven't taken the state yet
  std::function<void()> taken_by_all;
};

}  // namespace

void hand_over(const LiveState& live, const std::vector<std::unique_ptr<ProxyThread>>& threads,
               std::function<void()> taken_by_all) {
  auto handover = std::make_shared<Handover>(Handover{threads.size(), std::move(taken_by_all)});
  ProxyThread& first = *threads.front();
  for (auto& each : threads) {
    asio::post(each->io, [thread = each.get(), &first, live, handover] {
      take_state(*thread, live);
      asio::post(first.io, [handover] {
        if (--handover->missing == 0 && handover->taken_by_all) handover->taken_by_all();
      });
    });
  }
}

}  // namespace cppworker
