// One supervised process: runs the state machine of service_state.hpp and performs its actions on a real
// process.
//
// What is particular to the model or the proxy comes through ServiceHooks. Threads: the supervisor's loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "launchers/backend_definition.hpp"
#include "supervisor/hook_runner.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/memory_curve.hpp"
#include "supervisor/memory_kills.hpp"
#include "supervisor/post_mortem.hpp"
#include "supervisor/process_runner.hpp"
#include "supervisor/process_tree.hpp"
#include "supervisor/service_state.hpp"

namespace cppworker {

struct ServiceHooks {
  // What to launch, anew for each launch; its environment carries `tree_mark`.
  std::function<Result<ProcessSpec>(const std::string& tree_mark)> make_spec;
  std::function<void(OutputStream, std::string_view bytes)>
      on_output;                                      // as they come, with no regard to lines
  std::function<void()> on_launched;                  // a new process runs
  std::function<void()> on_ready, on_not_ready;       // requests may / may no longer be let in
  std::function<void()> start_measuring;              // answer with post(kMeasured / kMeasureFailed)
  std::function<void(std::uint64_t launch)> on_gone;  // that launch's process is dead: settle its books
  std::function<void()> on_change;                    // the phase changed
  std::function<void()> on_give_up;                   // gave_up or stuck; last_error() says why
  // Whether it has served anybody since the last call; absent: nobody can say.
  std::function<bool()> has_served{};
  // It starts processes of its own, which may flee: they are looked for while it runs.
  bool starts_processes = false;
  HooksDefinition programs{};        // run at their times; pre_stop by a step of the policy
  Variables hook_variables{};        // for them, beside what HookFacts says
  std::function<void()> on_begin{};  // a launch begins, with pre_start where there is one
  std::function<Result<void>()>
      before_launch{};  // its process comes now; an error is a failed start: "cannot use port 5001: …"
  LaunchRecords* records = nullptr;
  // Our own control group; a launch that starts processes gets one below it. Empty: there is none.
  std::string cgroup{};
  // The group whose counter tells whether the launch lacked memory (memory_kills.hpp). Empty: none does.
  std::string memory_group{};
  std::function<void(PostMortem&)> on_failure{};  // it has just failed: add what is in flight
  std::function<void(PostMortem)> on_failed{};    // the run is over: add the last lines, and keep it
  SweepTree sweep = sweep_tree;                   // as in CommandRunner
};

// The last run that ended badly, for whoever asks later: it outlives the runs that went well.
struct ServiceFailure {
  std::string summary;  // as in the post-mortem
  std::string exit;     // "signal 9 (SIGKILL)"; empty: it hasn't ended yet, or nothing was launched
  std::uint64_t launch = 0;
  TimePoint at{};
};

class Service {
 public:
  Service(asio::io_context& io, ProcessRunner& processes, std::string name, ServicePolicy policy,
          ServiceHooks hooks);

  // Takes an event; its consequences follow from the loop, never from within this call.
  void post(ServiceEventKind kind);

  const std::string& name() const { return name_; }
  const ServiceState& state() const { return state_; }
  TimePoint since() const { return since_; }  // when the present phase began
  // When it moves on by itself, if nothing happens before; nullopt: it waits for something to happen.
  std::optional<TimePoint> due() const { return due_; }
  const ServicePolicy& policy() const { return policy_; }
  const std::optional<ServiceFailure>& last_failure() const { return last_failure_; }
  pid_t pid() const { return child_ ? child_->pid() : -1; }
  const std::string& tree_mark() const { return tree_mark_; }
  // The tree's processes as the last look found them, a few seconds ago (with starts_processes).
  const std::vector<ProcessInfo>& members() const { return members_; }
  // Launches after failures, by cause.
  const std::map<std::string, std::uint64_t>& failures() const { return failures_; }
  // "the model ended: signal 9 (SIGKILL)"; empty while well. Cleared when ready.
  const std::string& last_error() const { return last_error_; }
  // What runs beside it, and ends with its launch: its hooks, and whatever its owner runs there.
  CommandRunner& commands() { return commands_; }
  // To be awaited by who is about to end: of a stuck service some may still run.
  Awaitable<> end_commands() { return commands_.end_all(); }
  // Why the next post() comes, for messages: "health: no answer …".
  void set_reason(std::string reason) { reason_ = std::move(reason); }

 private:
  void process(ServiceEvent event);
  void perform(const ServiceAction& action);
  void spawn();
  Awaitable<> prepare_launch();
  void launch();
  void forget_launch();
  ExitStatus with_memory(ExitStatus status) const;
  std::optional<std::uint64_t> count_memory_kills() const;
  void write_post_mortem();
  void spawn_failed(std::string reason);
  void take_stop_step(const ServiceAction& action);
  void run_hook(const char* name, const std::optional<HookDefinition>& hook, std::function<void()> then);
  HookFacts hook_facts() const;
  void arm(const ServiceAction& action);
  Awaitable<> sweep();
  Awaitable<> run_post_exit();
  ProcessTree tree() const;
  void signal_tree(int signal);
  void look_again();
  void look_at_tree();
  void note_failure();
  void report_survivors();
  std::vector<std::string> survivor_names() const;
  void give_up();

  asio::io_context& io_;
  ProcessRunner& processes_;
  const std::string name_;
  const ServicePolicy policy_;
  ServiceHooks hooks_;

  ServiceState state_;
  TimePoint since_ = std::chrono::steady_clock::now();
  std::optional<TimePoint> due_;
  std::optional<ServiceFailure> last_failure_;
  std::unique_ptr<ChildProcess> child_;
  pid_t leader_ = -1;
  std::uint64_t leader_start_ = 0;
  ExitStatus last_exit_;
  bool exited_ = false;
  bool hurried_ = false;          // in this launch: hooks aren't waited for
  bool post_exit_begun_ = false;  // in this launch
  std::string tree_mark_, last_error_, reason_;
  std::vector<ProcessInfo> survivors_;
  std::vector<ProcessInfo> members_;
  std::string cgroup_;  // of this launch; empty: none
  RecentMemoryKills memory_kills_;
  MemoryCurve memory_;
  PostMortem post_mortem_;      // of the failure that was noticed in this run
  std::set<ProcessKey> known_;  // members of the tree that a look has found
  std::map<std::string, std::uint64_t> failures_;
  asio::steady_timer deadline_;
  asio::steady_timer next_look_;
  CommandRunner commands_;
  HookRunner hook_runner_;
  std::mt19937 random_{std::random_device{}()};
};

}  // namespace cppworker
