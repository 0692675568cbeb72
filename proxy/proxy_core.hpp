// What the connections of the proxy work with: ProxyCore is shared by all threads, ProxyThread belongs to
// one.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "common/proxy_settings.hpp"
#include "common/worker_state.hpp"
#include "launchers/workload.hpp"
#include "metrics/ledger.hpp"
#include "proxy/admission.hpp"
#include "proxy/client_shares.hpp"
#include "proxy/connection.hpp"
#include "proxy/deadline_ticker.hpp"
#include "proxy/endpoint_table.hpp"
#include "proxy/fair_turns.hpp"
#include "proxy/memory_budget.hpp"
#include "proxy/rejection_memory.hpp"
#include "proxy/relay.hpp"
#include "proxy/session_requests.hpp"
#include "proxy/signature_verifier.hpp"
#include "proxy/state_bell.hpp"
#include "proxy/tls_context.hpp"
#include "proxy/upstream_pool.hpp"
#include "proxy/verdict_cache.hpp"

namespace cppworker {

// Wrong signatures, over all threads, after which the public key is asked for again. Good ones in between
// don't count: after a change of keys, clients with the old key's routes go on for a while.
inline constexpr int kFailuresBeforeRefetch = 3;
// But no more often than this: forged ones come by the thousand, and each question wakes the supervisor.
inline constexpr std::chrono::seconds kRefetchPause{1};

// Takes a line of the access log (access_log.hpp), without its end.
using AccessLog = std::function<void(const std::string& line)>;

struct ProxyCore {
  ProxySettings settings;
  std::uint64_t owner = 0;  // of this process's entries in the ledger
  Ledger& ledger;
  EndpointTable endpoints;
  VerdictCache verdicts;
  MemoryBudget bodies;
  ClientShares clients{bodies, share_limits(settings, endpoints.largest_body())};
  SessionRequests session_requests = {};
  RejectionMemory rejections = {};
  ConnectionLimits connection_limits;
  RelayLimits relay_limits;
  std::atomic<int> wrong_signatures{0};  // since the key was last asked for
  std::atomic<int> newcomers{0};         // requests that wait for a server they have never met (newcomer.hpp)
  std::atomic<std::chrono::steady_clock::time_point> key_asked{};
  std::atomic<std::int64_t> connections{0};          // by the public door
  std::atomic<std::int64_t> session_connections{0};  // by the other one
  std::atomic<std::int64_t> answering{0};            // requests that were let in, and refusals being written
  std::atomic<bool> retiring{false};     // another proxy accepts now: connections end with their next answer
  std::function<void()> ask_for_key;     // thread-safe
  std::function<void()> ask_for_update;  // the same
  // The same: has the other proxies look at the ledger (common/worker_state.hpp, kLookMessage).
  std::function<void()> tell_others = [] {};
  AccessLog access_log = {};  // the same; empty: there is none
};

// The state that the supervisor sent last, as one thread sees it. Replaced by a handler on that thread: no
// lock.
struct LiveState {
  using Clock = std::chrono::steady_clock;

  ModelPhase phase = ModelPhase::kLoading;
  std::uint64_t epoch = 0;              // grows whenever the phase changes: a restart is never missed
  Clock::time_point since{};            // the phase's beginning
  double load_seconds = 0;              // of the last load; 0: there was none
  std::shared_ptr<const KeyRing> keys;  // nullptr: no key yet
  std::string update_digest;            // of the master token; empty: there is none
  TlsContext tls;                       // of connections that begin now; nullptr: no certificate (yet)
};

struct ProxyThread {
  ProxyThread(ProxyCore& shared, asio::ip::tcp::endpoint server) : core(shared), pool(server) {}

  ProxyCore& core;
  // Before the loop, and so destroyed after it, with which the requests go that listen to the bell.
  StateBell bell;  // rung when `live` has changed
  asio::io_context io{1};
  std::vector<std::unique_ptr<WorkloadEvaluator>> checker_workloads;  // made when it first needs them
  // For large bodies (checker.hpp). Behind the loop, and so ended before it: what it still has to do goes on
  // there.
  asio::thread_pool checker{1};
  FairTurns checks{io.get_executor()};  // at the checker
  DeadlineTicker ticker;
  UpstreamPool pool;
  std::vector<std::unique_ptr<WorkloadEvaluator>> workloads;  // by Endpoint::position
  LiveState live;
  std::atomic<std::uint64_t> turns{0};  // of the loop, as the watchdog sees it
};

}  // namespace cppworker
