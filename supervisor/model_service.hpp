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
#include "supervisor/child_lines.hpp"
#include "supervisor/file_watch.hpp"
#include "supervisor/health_watch.hpp"
#include "supervisor/line_splitter.hpp"
#include "supervisor/log_file_writer.hpp"
#include "supervisor/log_follower.hpp"
#include "supervisor/log_matcher.hpp"
#include "supervisor/log_ring.hpp"
#include "supervisor/readiness.hpp"
#include "supervisor/service.hpp"
#include "supervisor/startup_watch.hpp"

namespace cppworker {

struct ModelServiceSetup {
  BackendDefinition backend;
  Url server;
  std::optional<std::string> health_path;  // instead of the definition's main probe
  std::string run_dir;
  std::string program_dir;  // where the worker's own programs lie
  LogFileLimits log_limits{};
  LogFileSystem log_system{};
  bool log_child_lines = false;           // in our own log, too
  std::optional<std::string> log_file{};  // MODEL_LOG, instead of the definition's log.file
  bool benchmark = true;
  std::function<void()> on_change;  // phase or figures
  std::function<void()> on_give_up;
  std::function<Result<void>()> before_launch;    // of Service
  LaunchRecords* records = nullptr;               // as in Service
  std::string cgroup, memory_group;               // as in Service
  std::function<void(PostMortem&)> add_requests;  // what is in flight
  std::function<Pulse()> pulse;                   // of the ledger; empty: the traffic isn't known
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
  const Service& service() const { return *service_; }
  const ModelFigures& figures() const { return figures_; }
  const LogRing& last_lines() const { return ring_; }
  // The log's last word about it, or what we do with it: "measuring", "ready".
  const std::string& progress() const { return progress_; }
  // Meaningful while it is starting: what it is at, and how long nothing has moved.
  LoadPhase load_phase() const { return load_phase_; }
  std::chrono::milliseconds quiet() const;
  // Ready, and well enough for new requests.
  bool admits() const { return service_->state().phase == ServicePhase::kReady && unwell_.empty(); }
  // Why it doesn't admit though it is ready; empty when there is no reason.
  const std::string& unwell() const { return unwell_; }

  // How many requests it takes at once has changed; 0: any number.
  void set_concurrency(int most) { health_.set_serial(most == 1); }

  // Somebody else has moved the log files.
  void reopen_logs() { log_.reopen(); }

  // Watches over it as long as the io_context runs.
  void watch();

 private:
  ModelService(asio::io_context& io, ModelServiceSetup setup, LogMatcher matcher);
  Result<ProcessSpec> make_spec(const std::string& tree_mark);
  void on_output(OutputStream stream, std::string_view bytes);
  void on_line(std::string_view line);
  void read_line(std::string_view line);
  Awaitable<> follow_log();
  void on_begin();
  Result<void> before_launch();
  void on_launched();
  void on_gone();
  void on_ready();
  void consider_ready();
  bool has_served();
  Awaitable<> measure(std::uint64_t launch);
  HealthWatchSetup make_watch();
  void on_judged(const Judgement& judgement);
  Awaitable<> watch_startup();

  asio::io_context& io_;
  ModelServiceSetup setup_;
  LogMatcher matcher_;
  Readiness readiness_;
  StartupWatch startup_;
  HealthWatch health_;
  LogFileWriter log_;
  std::optional<LogFollower> follower_;
  std::optional<FileWatch> log_watch_;  // with the follower
  LogRing ring_;
  std::uint64_t earlier_lines_ = 0;  // of ring_'s, before this launch
  std::optional<ChildLines> child_lines_;
  LineSplitter splitters_[2];
  std::string plain_;  // storage for a line without its colours
  ModelFigures figures_;
  std::string progress_;
  LoadPhase load_phase_ = LoadPhase::kLaunch;
  std::string unwell_;
  bool restart_asked_ = false;  // in this run
  Pulse looked_at_;             // by has_served()
  std::unique_ptr<Service> service_;
};

}  // namespace cppworker
