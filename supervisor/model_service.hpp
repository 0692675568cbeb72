// The inference server as a supervised service: launched by its backend's script, its log read, its health
// asked, its speed measured.
//
// Threads: the supervisor's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "launchers/backend_definition.hpp"
#include "supervisor/health_probe.hpp"
#include "supervisor/line_splitter.hpp"
#include "supervisor/log_file.hpp"
#include "supervisor/log_matcher.hpp"
#include "supervisor/log_ring.hpp"
#include "supervisor/readiness.hpp"
#include "supervisor/service.hpp"

namespace cppworker {

struct ModelServiceSetup {
  BackendDefinition backend;
  Url server;
  std::string health_path;
  std::string run_dir;
  std::string program_dir;  // where the worker's own programs lie
  bool benchmark = true;
  std::function<void()> on_change;  // phase or figures
  std::function<void()> on_give_up;
  std::function<Result<void>()> before_launch;    // of Service
  LaunchRecords* records = nullptr;               // as in Service
  std::string cgroup;                             // as in Service
  std::function<void(PostMortem&)> add_requests;  // what is in flight
};

// What the model has told about itself; kept over restarts until the next figure replaces it.
struct ModelFigures {
  double max_perf = 0;      // work units per second
  double load_seconds = 0;  // from the last launch to ready
  std::uint64_t loads = 0;  // how often it became ready
  std::optional<double> max_capacity;
  std::string benchmark_error;  // empty, or why there is no max_perf
};

class ModelService {
 public:
  // Fails when a pattern of the definition can't be used.
  static Result<std::unique_ptr<ModelService>> make(asio::io_context& io, ProcessRunner& processes,
                                                    ModelServiceSetup setup);

  Service& service() { return *service_; }
  const ModelFigures& figures() const { return figures_; }
  const LogRing& last_lines() const { return ring_; }
  // Since when the current launch loads; for progress.
  std::string progress() const { return progress_; }

  // Probes health as long as the io_context runs.
  Awaitable<> watch_health();

 private:
  ModelService(asio::io_context& io, ModelServiceSetup setup, LogMatcher matcher);
  Result<ProcessSpec> make_spec(const std::string& tree_mark);
  void on_output(OutputStream stream, std::string_view bytes);
  void on_line(std::string_view line);
  void on_launched();
  void on_gone();
  void on_ready();
  void consider_ready();
  Awaitable<> measure(std::uint64_t launch);
  HealthProbe make_probe() const;

  asio::io_context& io_;
  ModelServiceSetup setup_;
  LogMatcher matcher_;
  Readiness readiness_;
  HealthGate gate_;
  LogFile log_;
  LogRing ring_;
  LineSplitter splitters_[2];
  std::string plain_;  // storage for a line without its colours
  ModelFigures figures_;
  std::string progress_;
  asio::steady_timer next_probe_;  // cancelled by a launch: the new process is asked at once
  std::unique_ptr<Service> service_;
};

}  // namespace cppworker
