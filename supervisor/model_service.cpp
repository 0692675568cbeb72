#include "supervisor/model_service.hpp"

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

namespace cppworker {
namespace {

// While the server is awaited: it answers milliseconds after its ready line, and each probe costs it nothing.
constexpr std::chrono::milliseconds kProbeWhileAwaited{100};
// Where no backend says how to ask for health.
constexpr std::chrono::seconds kDefaultInterval{10};

// A hook's own deadline comes first; what it left is ended before it is over.
constexpr std::chrono::seconds kHookMargin{10};

LogPatterns patterns_of(const LogDefinition& log) {
  LogPatterns patterns;
  patterns.ready = log.ready;
  patterns.fatal = log.fatal;
  patterns.info = log.info;
  for (const auto& capture : log.captures) patterns.captures.push_back({capture.metric, capture.regex});
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
  policy.start_deadline = setup.backend.startup_deadline;
  policy.stop = stop_steps_of(setup.backend);
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
  hooks.starts_processes = true;
  hooks.programs = made->setup_.backend.hooks;
  hooks.before_launch = made->setup_.before_launch;
  hooks.records = made->setup_.records;
  hooks.cgroup = made->setup_.cgroup;
  hooks.on_failure = made->setup_.add_requests;
  hooks.on_failed = [self](PostMortem post_mortem) {
    const auto& lines = self->ring_.lines();
    post_mortem.last_lines.assign(lines.begin(), lines.end());
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
      gate_(setup_.backend.health ? setup_.backend.health->failures : 3),
      log_(setup_.run_dir + "/logs/model.log"),
      next_probe_(io) {}

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

void ModelService::on_launched() {
  readiness_.launched();
  gate_.reset();
  progress_ = "launched";
  for (LineSplitter& splitter : splitters_) splitter = LineSplitter();
  next_probe_.cancel();
}

// Its last words often lack the line's end.
void ModelService::on_gone() {
  readiness_.exited();
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
  std::string_view plain = strip_ansi(line, plain_);
  ring_.append(plain);
  LogEvents events = matcher_.match(plain);
  // After ready a prompt may be echoed in the log: from then on no line decides about the server's life.
  bool loading = !service_->state().was_ready;
  if (events.info && loading) progress_ = printable(plain, 200);
  for (const auto& [metric, value] : events.captures)
    if (metric == "max_capacity" && loading) figures_.max_capacity = value;
  if (events.ready) readiness_.saw_ready_line();
  if (events.fatal && loading) {
    service_->set_reason(printable(plain, 200));
    service_->post(ServiceEventKind::kFatalLog);
  }
}

HealthProbe ModelService::make_probe() const {
  HealthProbe probe;
  probe.server = setup_.server;
  probe.path = setup_.health_path;
  if (setup_.backend.health) {
    probe.timeout = setup_.backend.health->timeout;
    probe.expect_json = setup_.backend.health->expect_json;
  }
  return probe;
}

Awaitable<> ModelService::watch_health() {
  if (setup_.health_path.empty()) {
    // The log alone decides (the definition has one of both).
    while (true) {
      readiness_.answered(true);
      consider_ready();
      co_await sleep_for(kProbeWhileAwaited);
    }
  }
  std::chrono::milliseconds interval =
      setup_.backend.health ? std::chrono::milliseconds(setup_.backend.health->interval) : kDefaultInterval;
  while (true) {
    bool awaited = readiness_.awaits_health();
    bool ready = service_->state().phase == ServicePhase::kReady;
    if (awaited || ready) {
      std::uint64_t launch = service_->state().launches;
      HealthAnswer answer = co_await probe_health(make_probe());
      if (launch == service_->state().launches) {
        readiness_.answered(answer.ok());
        consider_ready();
        if (service_->state().phase == ServicePhase::kReady && gate_.closes(answer.health)) {
          service_->set_reason(answer.reason);
          service_->post(ServiceEventKind::kUnhealthy);
        }
      }
    }
    next_probe_.expires_after(service_->state().phase == ServicePhase::kReady ? interval
                                                                              : kProbeWhileAwaited);
    co_await next_probe_.async_wait(kTuple);
  }
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
