// A steady load of signed requests and streams, and what became of each: from clients of all generations,
// such that leave early, send much, read slowly, and keep sessions.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tls_exchange.hpp"
#include "world.hpp"

namespace cppworker::chaos {

// One request, with a fresh route. `prompt` may ask the stand-in for something (stand_ins/README.md).
struct Asking {
  bool stream = false;
  bool wrapped = true;
  bool url_only = false;
  std::string prompt = "Once upon a time";
  Manner manner = {};
  // Inside a session: its id, and the route that made it.
  std::string session = {};
  nlohmann::json route = nullptr;
};
// Enters it in World::sent, too.
Result ask(World& world, const Asking& asking);

// The bytes of a request that was served, with a signature that is good for one; empty when it wasn't.
std::string spent_request(World& world);
// Those sent once more are refused for what they are.
bool refuses_replay(World& world, const std::string& spent);

class Load {
 public:
  // Begins at once, and goes on to stop() or its end.
  explicit Load(World& world);
  ~Load() { stop(); }
  void stop();

  std::uint64_t served() const { return count(Outcome::kServed); }
  std::uint64_t count(Outcome outcome) const { return counts_[static_cast<std::size_t>(outcome)]; }
  // Those that failed, in the order of their ends. After stop().
  const std::vector<Result>& failed() const { return failed_; }

 private:
  void go_on_asking(Asking asking, std::chrono::milliseconds pause);
  void go_on_visiting();
  void note(const Result& result);

  World& world_;
  std::atomic<bool> over_ = false;
  std::array<std::atomic<std::uint64_t>, kOutcomes.size()> counts_{};
  std::mutex mutex_;
  std::vector<Result> failed_;
  std::vector<std::thread> clients_;
};

}  // namespace cppworker::chaos
