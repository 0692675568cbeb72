// What is known about a run that ended badly, as one JSON file: for whoever asks next morning why.
//
// In the run directory's folder postmortem/, readable for the worker's user alone. No environment, no secret;
// the last lines are the server's own, as logs/model.log has them. Bounded in number and size. Threads: one
// at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "metrics/ledger_snapshot.hpp"
#include "supervisor/exit_status.hpp"
#include "supervisor/memory_curve.hpp"

namespace cppworker {

struct PostMortem {
  std::string service{};             // "model", "proxy"; "worker": what one before this left
  std::string summary{};             // its first line, which the autoscaler hears as error_msg
  std::string cause{};               // key_of(FailureCause); "stop": it was asked for, and didn't work;
                                     // "left_behind": by a worker that was killed
  std::optional<ExitStatus> exit{};  // absent: nothing was launched, or it still hangs
  std::uint64_t launch = 0;
  pid_t pid = -1;
  std::chrono::system_clock::time_point ended{};
  std::optional<double> ready_after_s{}, ready_for_s{};  // absent: it never was
  double ran_for_s = 0;
  std::vector<std::string> last_lines{};  // oldest first
  std::vector<MemoryCurve::Point> memory{};
  std::vector<InFlightRequest> in_flight{};  // when the failure was noticed
  std::vector<std::string> endpoints{};      // names, by InFlightRequest::endpoint
  std::vector<std::string> survivors{};      // processes that withstand SIGKILL
};

std::string encode(const PostMortem& post_mortem);

// The oldest of a service go when it has more than this; a file is shorter than kLargestPostMortem.
inline constexpr std::size_t kMostPostMortems = 20;
inline constexpr std::size_t kLargestPostMortem = 256 << 10;

// Returns the file's path: <time>-<service>-<launch>-<pid>.json, with our own pid where nothing was launched.
// Makes the folder.
Result<std::string> write_post_mortem(const std::string& folder, const PostMortem& post_mortem);
// The same; the log says where it lies, or why there is none.
void keep_post_mortem(const std::string& folder, const PostMortem& post_mortem);

// What the books have in flight; of one proxy's alone where `owner` isn't 0.
void add_requests(PostMortem& post_mortem, LedgerSnapshot books, std::uint64_t owner);

}  // namespace cppworker
