// The table of what was done and what became of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "faults.hpp"

namespace cppworker::chaos {

// One fault done once.
struct Happening {
  const Fault* fault;
  Clock::time_point began, recovered;
  Verdict verdict;
};

// The request was under way while the fault was there.
bool overlap(const Happening& happening, const Result& result);

struct Report {
  std::uint64_t seed = 0;
  std::chrono::seconds lasted{0};
  std::vector<Happening> happenings;
  std::array<std::uint64_t, kOutcomes.size()> requests{};  // by outcome
  std::vector<std::string> wrong;  // what the run's end found; empty, with every verdict good: it has passed
  std::vector<std::string> figures;

  bool passed() const;
};

// What the clients saw that no fault excuses, in sentences.
std::vector<std::string> inexcusable(const std::vector<Happening>& happenings,
                                     const std::vector<Result>& failed);

std::string markdown(const Report& report, const std::vector<Result>& failed);
nlohmann::json as_json(const Report& report);

}  // namespace cppworker::chaos
