#include "supervisor/model_service.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "launchers/payload_template.hpp"
#include "supervisor/benchmark.hpp"
#include "supervisor/benchmark_key.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/tree_activity.hpp"

namespace cppworker {
namespace {

// Between two looks at what a loading server's processes do: each reads two files a process.
constexpr std::chrono::seconds kStartupLook{5};
// Between two looks at a log that the server writes itself, where the kernel tells of its changes: as late as
// a line may be noticed of which it doesn't (file_watch.hpp).
constexpr std::chrono::seconds kFollowInterval{1};
// And where it doesn't tell of any.
constexpr std::chrono::milliseconds kBlindFollowInterval{250};
// From a change to the look, so that a busy log is read by the block and not by the line.
constexpr std::chrono::milliseconds kFollowPause{20};
// A child's line in our own log; the file has the whole.
constexpr std::size_t kLongestChildLine = 4 << 10;

// A hook's own deadline comes first; what it left is ended before it is over.
constexpr std::chrono::seconds kHookMargin{10};

LogPatterns patterns_of(const LogDefinition& log) {
  LogPatterns patterns;
  patterns.ready = log.ready;
  patterns.fatal = log.fatal;
  patterns.fatal_after_ready = log.fatal_after_ready;
  patterns.info = log.info;
  patterns.phases = log.phases;
  patterns.captures = log.captures;
  return patterns;
}

std::vector<StopStep> stop_steps_of(const BackendDefinition& backend) {
  std::vector<StopStep> steps;
  for (const StopStepDefinition& step : backend.stop_steps) {
    StopStep::To to = StopStep::To::kLeader;
    if (step.to == StopStepDefinition::To::kGroup) to = StopStep::To::kGroup;
    if (step.to == StopStepDefinition::To::kTree) to = StopStep::To::kTree;
    steps.push_back({.signal = step.signal, .wait = step.wait, .to = to});
  }
  return steps;
}

GiveUpRules give_up_rules_of(const std::vector<GiveUpDefinition>& definitions) {
  GiveUpRules rules;
  for (const GiveUpDefinition& definition : definitions) {
    GiveUpRule rule{.causes = {}, .failures = definition.failures, .window = definition.window};
    for (const FailureCause cause : kFailureCauses)
      if (std::find(definition.causes.begin(), definition.causes.end(), key_of(cause)) !=
          definition.causes.end())
        rule.causes.push_back(cause);
    rules.push_back(std::move(rule));
  }
  return rules;
}

ServicePolicy policy_of(const ModelServiceSetup& setup) {
  ServicePolicy policy;
  policy.measures = setup.benchmark && setup.backend.benchmark.has_value();
  policy.start_deadline = setup.backend.startup.deadline;
  policy.stop = stop_steps_of(setup.backend);
  policy.failed_stop_wait = setup.backend.failed_stop_wait;
  policy.stuck_after = setup.backend.unkillable_after;
  if (setup.backend.hooks.pre_stop)
    policy.stop.insert(policy.stop.begin(), {.wait = setup.backend.hooks.pre_stop->timeout + kHookMargin,
                                             .to = StopStep::To::kHook});
  policy.backoff_first = setup.backend.restart.first_wait;
  policy.backoff_most = setup.backend.restart.longest_wait;
  if (setup.backend.restart.give_up) policy.give_up = give_up_rules_of(*setup.backend.restart.give_up);
  return policy;
}

}  // namespace

Result<std::unique_ptr<ModelService>> ModelService::make(asio::io_context& io, ProcessRunner& processes,
                                                         ModelServiceSetup setup) {
  auto matcher = LogMatcher::compile(patterns_of(setup.backend.log));
  if (!matcher) return matcher.error();
  ServicePolicy policy = policy_of(setup);
  std::unique_ptr<ModelService> made(new ModelService(io, std::move(setup), std::move(*matcher)));
  ModelService* self = made.get();
  ServiceHooks hooks;
  hooks.make_spec = [self](const std::string& mark) { return self->make_spec(mark); };
  hooks.on_output = [self](OutputStream stream, std::string_view bytes) { self->on_output(stream, bytes); };
  hooks.on_launched = [self] { self->on_launched(); };
  hooks.on_ready = [self] { self->on_ready(); };
  hooks.on_not_ready = [self] { self->setup_.on_change(); };
  hooks.start_measuring = [self] {
    // A measurement that throws is a bug; it counts as a failed one.
    asio::co_spawn(self->io_, self->measure(self->service_->state().launches),
                   [self](std::exception_ptr error) {
                     if (error) self->service_->post(ServiceEventKind::kMeasureFailed);
                   });
  };
  hooks.on_gone = [self](std::uint64_t) { self->on_gone(); };
  hooks.on_change = [self] { self->setup_.on_change(); };
  hooks.on_give_up = [self] {
    if (self->setup_.on_give_up) self->setup_.on_give_up();
  };
  if (made->setup_.pulse) hooks.has_served = [self] { return self->has_served(); };
  hooks.starts_processes = true;
  hooks.programs = made->setup_.backend.hooks;
  hooks.hook_variables = {{"SERVER_PORT", std::to_string(made->setup_.server.port)}};
  hooks.on_begin = [self] { self->on_begin(); };
  hooks.before_launch = [self] { return self->before_launch(); };
  hooks.records = made->setup_.records;
  hooks.cgroup = made->setup_.cgroup;
  hooks.memory_group = made->setup_.memory_group;
  hooks.on_failure = made->setup_.add_requests;
  hooks.on_failed = [self](PostMortem post_mortem) {
    const auto& lines = self->ring_.lines();
    const std::uint64_t of_this_launch = self->ring_.appended() - self->earlier_lines_;
    const auto count = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(of_this_launch, lines.size()));
    post_mortem.last_lines.assign(lines.end() - count, lines.end());
    keep_post_mortem(self->setup_.run_dir + "/postmortem", post_mortem);
  };
  made->service_ = std::make_unique<Service>(io, processes, "model", std::move(policy), std::move(hooks));
  return made;
}

ModelService::ModelService(asio::io_context& io, ModelServiceSetup setup, LogMatcher matcher)
    : io_(io),
      setup_(std::move(setup)),
      matcher_(std::move(matcher)),
      readiness_(matcher_.has_ready_pattern()),
      startup_(setup_.backend.startup.no_progress),
      health_(io, make_watch()),
      log_(setup_.run_dir + "/logs/model.log", setup_.log_limits, setup_.log_system) {
  const std::string file = setup_.log_file.value_or(setup_.backend.log.file);
  if (setup_.log_child_lines)
    child_lines_.emplace([logger = spdlog::default_logger()->clone("model")](std::string_view line) {
      logger->set_level(spdlog::get_level());  // which a reload may have changed: it knows of no copies
      logger->info("{}", printable(line, kLongestChildLine));
    });
  if (file.empty()) return;
  follower_.emplace(file, [this](std::string_view line) { read_line(line); });
  log_watch_.emplace(io.get_executor(), file);
}

Result<ProcessSpec> ModelService::make_spec(const std::string& tree_mark) {
  ProcessSpec spec;
  spec.name = "model";
  spec.program = setup_.backend.launch_script;
  std::vector<std::pair<std::string, std::string>> additions = {
      {"SERVER_PORT", std::to_string(setup_.server.port)}, {"PYTHONUNBUFFERED", "1"}};
  // Last, for a server that comes with the worker (toy).
  if (const char* path = std::getenv("PATH"); path != nullptr && !setup_.program_dir.empty())
    additions.emplace_back("PATH", std::string(path) + ":" + setup_.program_dir);
  spec.environment = child_environment(own_environment(), additions, tree_mark);
  return spec;
}

void ModelService::on_begin() {
  earlier_lines_ = ring_.appended();
}

// The follower begins before the process: what that writes first would count as there before.
Result<void> ModelService::before_launch() {
  if (follower_) follower_->begin();
  return setup_.before_launch ? setup_.before_launch() : Result<void>();
}

void ModelService::on_launched() {
  readiness_.launched();
  startup_.launched(std::chrono::steady_clock::now());
  progress_ = "launched";
  load_phase_ = LoadPhase::kLaunch;
  unwell_.clear();
  restart_asked_ = false;
  for (LineSplitter& splitter : splitters_) splitter = LineSplitter();
  health_.launched();
}

// Its last words often lack the line's end.
void ModelService::on_gone() {
  if (follower_) follower_->finish();
  readiness_.exited();
  health_.gone();
  unwell_.clear();
  for (LineSplitter& splitter : splitters_) splitter.finish([this](std::string_view line) { on_line(line); });
  log_.flush();
}

void ModelService::on_output(OutputStream stream, std::string_view bytes) {
  splitters_[stream == OutputStream::kStdout ? 0 : 1].feed(bytes,
                                                           [this](std::string_view line) { on_line(line); });
  log_.flush();
}

void ModelService::on_line(std::string_view line) {
  log_.append(line);
  read_line(line);
}

// Lines of the server's own file come here, too: they lie on the disk already.
void ModelService::read_line(std::string_view line) {
  std::string_view plain = strip_ansi(line, plain_);
  ring_.append(plain);
  if (child_lines_) child_lines_->add(plain, std::chrono::steady_clock::now());
  LogEvents events = matcher_.match(plain);
  health_.saw_line(plain);
  if (events.ready) readiness_.saw_ready_line();
  // After ready a prompt may be echoed in the log: from then on no line by itself decides about anything.
  if (service_->state().was_ready) {
    if (!events.fatal_after_ready.empty()) health_.saw_fatal_line(events.fatal_after_ready);
    return;
  }
  startup_.saw_line(plain, std::chrono::steady_clock::now());
  if (events.info) progress_ = printable(plain, 200);
  if (events.phase) load_phase_ = *events.phase;
  for (const auto& [metric, value] : events.captures)
    if (metric == "max_capacity") figures_.max_capacity = value;
  if (events.fatal || !events.fatal_after_ready.empty()) {
    service_->set_reason(printable(plain, 200));
    service_->post(ServiceEventKind::kFatalLog);
  }
}

HealthWatchSetup ModelService::make_watch() {
  HealthWatchSetup watch;
  const BackendDefinition& backend = setup_.backend;
  if (backend.health) {
    watch.main = backend.health->main;
    watch.others = backend.health->others;
    watch.ladder.stall = backend.health->stall;
    watch.ladder.errors_in_a_row = backend.health->errors_in_a_row;
    watch.canary = backend.health->canary;
  }
  if (setup_.health_path) {
    if (!watch.main) watch.main.emplace();
    watch.main->kind = ProbeDefinition::Kind::kHttp;
    watch.main->path = *setup_.health_path;
  }
  watch.ladder.serial = backend.max_concurrency == 1;
  if (watch.canary)
    if (const auto* endpoint = backend.find_endpoint("POST", watch.canary->endpoint))
      watch.canary_failure_lines = endpoint->failure_lines;
  watch.server = setup_.server;
  watch.pulse = setup_.pulse;
  watch.ask_command = [this](const ProbeDefinition& probe) {
    const std::string mark = service_->commands().make_mark();
    ProcessSpec spec;
    spec.name = "health command";
    spec.program = probe.command.front();
    spec.args.assign(probe.command.begin() + 1, probe.command.end());
    spec.environment =
        child_environment(own_environment(), {{"SERVER_PORT", std::to_string(setup_.server.port)}}, mark);
    return probe_by_command(service_->commands(), std::move(spec), mark, probe.timeout);
  };
  watch.awaited = [this] { return readiness_.awaits_health(); };
  watch.answered = [this](bool well) {
    readiness_.answered(well);
    consider_ready();
  };
  watch.judged = [this](const Judgement& judgement) { on_judged(judgement); };
  return watch;
}

void ModelService::watch() {
  // A bug, as in HealthWatch.
  const auto rethrow = [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  };
  health_.run();
  asio::co_spawn(io_, watch_startup(), rethrow);
  if (follower_) asio::co_spawn(io_, follow_log(), rethrow);
}

Awaitable<> ModelService::follow_log() {
  while (true) {
    log_watch_->renew();
    if (service_->pid() > 0) follower_->poll();
    co_await log_watch_->changed(log_watch_->works() ? kFollowInterval : kBlindFollowInterval);
    co_await sleep_for(kFollowPause);
  }
}

void ModelService::on_judged(const Judgement& judgement) {
  if (service_->state().phase != ServicePhase::kReady) return;
  const bool changes = unwell_.empty() != judgement.reason.empty();
  if (changes && judgement.reason.empty()) spdlog::info("model: well again");
  if (changes && !judgement.reason.empty()) spdlog::warn("model: unwell: {}", printable(judgement.reason));
  unwell_ = judgement.reason;
  if (judgement.standing == Standing::kRestart && !std::exchange(restart_asked_, true)) {
    service_->set_reason(judgement.reason);
    service_->post(judgement.by_log ? ServiceEventKind::kFatalLog : ServiceEventKind::kUnhealthy);
  }
  if (changes) setup_.on_change();
}

std::chrono::milliseconds ModelService::quiet() const {
  return startup_.quiet(std::chrono::steady_clock::now());
}

Awaitable<> ModelService::watch_startup() {
  while (true) {
    if (service_->state().phase == ServicePhase::kStarting && service_->pid() > 0) {
      const auto now = std::chrono::steady_clock::now();
      startup_.measured(read_activity(service_->members(), service_->pid()), now);
      if (startup_.stalled(now)) {
        service_->set_reason(startup_.explain(now));
        service_->post(ServiceEventKind::kNoProgress);
      }
    }
    if (child_lines_) child_lines_->tick(std::chrono::steady_clock::now());
    co_await sleep_for(kStartupLook);
  }
}

bool ModelService::has_served() {
  const Pulse before = std::exchange(looked_at_, setup_.pulse());
  return looked_at_.upstream_bytes != before.upstream_bytes || looked_at_.served != before.served;
}

void ModelService::consider_ready() {
  if (readiness_.ready() && service_->state().phase == ServicePhase::kStarting)
    service_->post(ServiceEventKind::kSeenReady);
}

void ModelService::on_ready() {
  auto loaded = std::chrono::steady_clock::now() - service_->state().launched_at;
  figures_.load_seconds = std::chrono::duration<double>(loaded).count();
  figures_.loads++;
  progress_ = "ready";
  health_.ready();
  spdlog::info("model: ready after {:.1f} s, max_perf {:.1f} work units/s", figures_.load_seconds,
               figures_.max_perf);
  setup_.on_change();
}

Awaitable<> ModelService::measure(std::uint64_t launch) {
  const BenchmarkDefinition& definition = *setup_.backend.benchmark;
  std::string kept = setup_.run_dir + "/benchmark.json",
              key = benchmark_key(setup_.backend, own_environment());
  auto answer = [&](ServiceEventKind kind) {
    if (launch == service_->state().launches) service_->post(kind);
  };
  if (auto known = load_benchmark(kept, key)) {
    figures_.max_perf = *known;
    answer(ServiceEventKind::kMeasured);
    co_return;
  }
  std::random_device seed;
  auto body = PayloadTemplate::compile(definition.payload, seed());
  const EndpointDefinition* endpoint = setup_.backend.find_endpoint("POST", definition.endpoint);
  if (!body || endpoint == nullptr) {
    service_->set_reason(body ? "the benchmark's endpoint is no POST endpoint" : body.error().message);
    answer(ServiceEventKind::kMeasureFailed);
    co_return;
  }
  auto evaluator = std::make_shared<WorkloadEvaluator>(endpoint->workload);
  BenchmarkPlan plan;
  plan.server = setup_.server;
  plan.path = definition.endpoint;
  plan.runs = definition.runs;
  plan.concurrency = definition.concurrency;
  plan.failure_lines = endpoint->failure_lines;
  plan.make_body = [maker = std::make_shared<PayloadTemplate>(std::move(*body))] { return maker->expand(); };
  plan.work_of = [evaluator](std::string_view payload) {
    auto work = evaluator->milli_units(payload);
    return work ? static_cast<double>(*work) / 1000 : 0.0;
  };
  progress_ = "measuring";
  Result<BenchmarkResult> result = co_await run_benchmark(std::move(plan));
  if (launch != service_->state().launches) co_return;
  if (!result) {
    figures_.benchmark_error = result.error().message;
    service_->set_reason(result.error().message);
    answer(ServiceEventKind::kMeasureFailed);
    co_return;
  }
  figures_.benchmark_error.clear();
  figures_.max_perf = result->max_perf;
  if (!store_benchmark(kept, key, result->max_perf))
    spdlog::warn("Cannot keep the benchmark's result in {}: {}", kept, std::strerror(errno));
  answer(ServiceEventKind::kMeasured);
}

}  // namespace cppworker
