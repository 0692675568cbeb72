#include "resources.hpp"

#include <algorithm>

namespace cppworker::chaos {
namespace {

// Connections that are open for a moment, or kept for the next time: to the autoscaler, of a probe.
constexpr std::size_t kPassingDescriptors = 2;
// Connections that the proxy keeps to the inference server: as many as it had requests at once.
constexpr std::size_t kPooledDescriptors = 12;
// And its clients' own, with some that are being closed.
constexpr std::size_t kConnectedDescriptors = 40;
// What an allocator keeps of its peak; a leak of each request, or of 1 MiB of each launch, would be more. The
// proxy's peak are a few bodies of 2 MB.
constexpr std::size_t kSupervisorGrowthKib = 4 << 10;
constexpr std::size_t kProxyGrowthKib = 24 << 10;

// Until a passing descriptor is closed.
constexpr std::chrono::seconds kSettling{10};

std::string grown(const std::string& who, const std::string& what, std::size_t from, std::size_t to) {
  return who + " went from " + std::to_string(from) + " to " + std::to_string(to) + " " + what;
}

Holding holding_of(pid_t pid) {
  return {pid, descriptors_of(pid), resident_kib(pid)};
}

}  // namespace

Resources look_at(World& world) {
  return {holding_of(world.worker.process().pid()), holding_of(world.pid_of("proxy")),
          world.worker.tree().size()};
}

std::vector<std::string> check_growth(World& world, const Resources& before, Resources& after) {
  // Fewer processes: a grandchild was killed, and its server lives on without it.
  const auto settled = [&] {
    after = look_at(world);
    return after.supervisor.descriptors <= before.supervisor.descriptors + kPassingDescriptors &&
           after.proxy.descriptors <= before.proxy.descriptors + kPooledDescriptors &&
           after.processes <= before.processes;
  };
  std::vector<std::string> wrong;
  if (!eventually(settled)) {
    if (after.supervisor.descriptors > before.supervisor.descriptors + kPassingDescriptors)
      wrong.push_back(grown("the supervisor", "descriptors", before.supervisor.descriptors,
                            after.supervisor.descriptors));
    if (after.proxy.descriptors > before.proxy.descriptors + kPooledDescriptors)
      wrong.push_back(grown("the proxy", "descriptors", before.proxy.descriptors, after.proxy.descriptors));
    if (after.processes > before.processes)
      wrong.push_back(grown("the tree", "processes", before.processes, after.processes));
  }
  if (after.supervisor.resident_kib > before.supervisor.resident_kib + kSupervisorGrowthKib)
    wrong.push_back(
        grown("the supervisor", "KiB", before.supervisor.resident_kib, after.supervisor.resident_kib));
  if (after.proxy.resident_kib > before.proxy.resident_kib + kProxyGrowthKib)
    wrong.push_back(grown("the proxy", "KiB", before.proxy.resident_kib, after.proxy.resident_kib));
  return wrong;
}

void GrowthWatch::compare(const char* who, Holding& base, const Allowance& more,
                          const std::function<pid_t()>& pid_of) {
  Holding now;
  testing::eventually(
      [&] {
        now = holding_of(pid_of());
        return now.pid != base.pid || now.descriptors <= base.descriptors + more.descriptors;
      },
      kSettling);
  if (now.pid != base.pid || now.resident_kib == 0) {  // 0: it is no more
    base = now;
    return;
  }
  if (now.descriptors > base.descriptors + more.descriptors)
    found_.push_back(grown(who, "descriptors", base.descriptors, now.descriptors) + " under load");
  if (now.resident_kib > base.resident_kib + more.kib)
    found_.push_back(grown(who, "KiB", base.resident_kib, now.resident_kib) + " under load");
}

void GrowthWatch::look() {
  if (!found_.empty()) return;  // once is enough
  compare("the supervisor", supervisor_, {kPassingDescriptors, kSupervisorGrowthKib},
          [&] { return world_.worker.process().pid(); });
  compare("the proxy", proxy_, {kConnectedDescriptors, kProxyGrowthKib},
          [&] { return world_.pid_of("proxy"); });
}

}  // namespace cppworker::chaos
