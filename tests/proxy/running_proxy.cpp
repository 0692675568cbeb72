#include "tests/proxy/running_proxy.hpp"

#include <boost/asio/co_spawn.hpp>

#include "proxy/listener.hpp"

namespace cppworker {
RunningProxy::RunningProxy(const ProxySetup& setup, std::uint16_t server_port)
    : ledger_(Ledger::create(folder_ / "ledger", "proxy test").value()),
      core_{.settings = setup.settings,
            .owner = kOwner,
            .ledger = *ledger_,
            .endpoints = {setup.backend,
                          *ledger_,
                          static_cast<std::uint64_t>(setup.settings.max_body_bytes),
                          setup.settings.max_json_depth,
                          static_cast<std::size_t>(setup.settings.max_queue),
                          {kOwner, [this] { ++told_; }}},
            .verdicts = {},
            .bodies = MemoryBudget(static_cast<std::uint64_t>(setup.settings.max_buffered_bytes)),
            .connection_limits = setup.connection_limits,
            .relay_limits = setup.relay_limits,
            .ask_for_key = [this] { ++key_requests_; },
            .ask_for_update = [this] { ++update_requests_; },
            .tell_others = [this] { ++told_; },
            .access_log = setup.access_log},
      keys_(KeyRing::from_pems(setup.public_keys).value()) {
  asio::ip::tcp::endpoint server(asio::ip::address_v4::loopback(), server_port);
  for (int i = 0; i < setup.settings.threads; ++i) {
    auto thread = std::make_unique<ProxyThread>(core_, server);
    for (const Endpoint& endpoint : core_.endpoints.all())
      thread->workloads.push_back(std::make_unique<WorkloadEvaluator>(endpoint.definition.workload));
    thread->live.phase = setup.phase;
    thread->live.keys = keys_;
    thread->live.tls = setup.tls;
    threads_.push_back(std::move(thread));
  }
  asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);
  acceptor_.emplace(threads_.front()->io, any_port);
  port_ = acceptor_->local_endpoint().port();
  session_acceptor_.emplace(threads_.front()->io, any_port);
  session_port_ = session_acceptor_->local_endpoint().port();
  auto must_not_throw = [](std::exception_ptr error) {
    if (error) ADD_FAILURE() << "the listener threw";
  };
  asio::co_spawn(threads_.front()->io, run_listener(*acceptor_, threads_, Door::kPublic), must_not_throw);
  asio::co_spawn(threads_.front()->io, run_listener(*session_acceptor_, threads_, Door::kSessions),
                 must_not_throw);
  for (auto& thread : threads_) {
    work_.push_back(asio::make_work_guard(thread->io));
    running_.emplace_back([io = &thread->io] { io->run(); });
  }
}

RunningProxy::~RunningProxy() {
  for (auto& thread : threads_) thread->io.stop();
  for (std::thread& thread : running_) thread.join();
  for (Admission& admission : core_.endpoints.admissions()) admission.close();
}

std::vector<asio::io_context*> RunningProxy::loops() {
  std::vector<asio::io_context*> all;
  for (auto& thread : threads_) all.push_back(&thread->io);
  return all;
}

void RunningProxy::settle() {
  ParkedThreads(loops()).run_dry();
}

void RunningProxy::on_each_thread(const std::function<void(ProxyThread&)>& look) {
  ParkedThreads parked(loops());
  for (std::size_t i = 0; i < threads_.size(); ++i) parked.run_on(i, [&] { look(*threads_[i]); });
}

void RunningProxy::set_phase(ModelPhase phase) {
  on_each_thread([&](ProxyThread& thread) {
    if (phase != ModelPhase::kReady) thread.pool.clear();
    thread.live.phase = phase;
    ++thread.live.epoch;
    thread.live.since = LiveState::Clock::now();
    thread.bell.ring();
  });
  settle();
}

void RunningProxy::set_tls(TlsContext tls) {
  on_each_thread([&](ProxyThread& thread) { thread.live.tls = tls; });
  tls.reset();
  settle();
}

void RunningProxy::pass_time(std::chrono::seconds ahead) {
  settle();
  on_each_thread([&](ProxyThread& thread) { thread.ticker.tick(Deadlined::Clock::now() + ahead); });
  settle();
}

LedgerSnapshot RunningProxy::books() {
  settle();
  return ledger_->snapshot();
}

std::uint64_t RunningProxy::counted(Counter counter) {
  return books().counters[static_cast<std::size_t>(counter)];
}

}  // namespace cppworker
