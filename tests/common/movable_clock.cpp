#include "tests/common/movable_clock.hpp"

#include <atomic>
#include <cstdint>
#include <boost/asio/steady_timer.hpp>

using std::chrono::steady_clock;

namespace {
std::atomic<std::int64_t> skipped_ns = 0;
}  // namespace

// The linker's --wrap (CMakeLists.txt) leads all calls of the first name here, and the second to the
// library's.
extern "C" {
steady_clock::time_point __real__ZNSt6chrono3_V212steady_clock3nowEv();
steady_clock::time_point __wrap__ZNSt6chrono3_V212steady_clock3nowEv() {
  return __real__ZNSt6chrono3_V212steady_clock3nowEv() + std::chrono::nanoseconds(skipped_ns.load());
}
}

namespace cppworker {

MovableClock::~MovableClock() {
  skipped_ns = 0;
}

void MovableClock::skip(boost::asio::io_context& io, std::chrono::nanoseconds duration) {
  skipped_ns += duration.count();
  // The kernel wakes Asio by its own clock. A timer before all others makes it look at ours, and all that are
  // due come with it.
  boost::asio::steady_timer nudge(io, steady_clock::time_point::min());
  bool looked = false;
  nudge.async_wait([&](boost::system::error_code) { looked = true; });
  io.restart();
  while (!looked) io.run_one();
  io.poll();
}

}  // namespace cppworker
