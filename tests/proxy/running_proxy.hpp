// The proxy inside the test's process: everything of cppworker-proxy but its process (app.cpp), on a port of
// its own, with a ledger in a temporary folder.
//
// It runs on threads of its own, as it does in production, so that the test may block in raw clients and
// servers. Time stands still in it: no ticker runs, deadlines pass when the test calls pass_time(). What the
// test did is seen by the proxy at some time; settle() waits until it has done all that it can do about it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "launchers/backend_definition.hpp"
#include "proxy/proxy_core.hpp"
#include "tests/metrics/ledger_fixture.hpp"
#include "tests/proxy/parked_threads.hpp"

namespace cppworker {

// What a test may choose before the proxy starts. The defaults are production's, with one thread.
struct ProxySetup {
  ProxySetup() {
    settings.threads = 1;
    // What fails is answered at once; the tests of holding say otherwise.
    relay_limits.hold = std::chrono::seconds(0);
  }

  ProxySettings settings;
  ConnectionLimits connection_limits;
  RelayLimits relay_limits;
  BackendDefinition backend;  // its endpoints and concurrency
  ModelPhase phase = ModelPhase::kReady;
  std::vector<std::string> public_keys;
  TlsContext tls;  // nullptr: plain
  AccessLog access_log;
};

class RunningProxy {
 public:
  static constexpr std::uint64_t kOwner = 7;

  RunningProxy(const ProxySetup& setup, std::uint16_t server_port);
  ~RunningProxy();
  RunningProxy(const RunningProxy&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint16_t session_port() const { return session_port_; }

  // Returns when every thread has nothing to do until the test does something: bytes that were sent to the
  // proxy have been read (where it reads), and all that follows from them has happened.
  void settle();
  // The state that the supervisor would send, as app.cpp hands it to the threads; then settles.
  void set_phase(ModelPhase phase);
  // The same for a new certificate.
  void set_tls(TlsContext tls);
  // Settles, then ends what has a deadline within `ahead` of now, and settles again.
  void pass_time(std::chrono::seconds ahead);
  // Settles first.
  LedgerSnapshot books();
  std::uint64_t counted(Counter counter);
  // How often the supervisor was asked for the public key.
  int key_requests() const { return key_requests_; }
  // And how often it was told that an update is wanted.
  int update_requests() const { return update_requests_; }
  // And how often it was asked to have the other proxies look at the ledger.
  int told() const { return told_; }

  // Runs `look` on each thread in turn, while the others stand still: it may look at everything.
  void on_each_thread(const std::function<void(ProxyThread&)>& look);
  ProxyCore& core() { return core_; }
  Ledger& ledger() { return *ledger_; }

 private:
  std::vector<asio::io_context*> loops();

  TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  std::atomic<int> key_requests_{0}, update_requests_{0}, told_{0};
  ProxyCore core_;
  std::shared_ptr<const KeyRing> keys_;
  std::vector<std::unique_ptr<ProxyThread>> threads_;
  std::optional<asio::ip::tcp::acceptor> acceptor_;
  std::optional<asio::ip::tcp::acceptor> session_acceptor_;
  std::uint16_t port_ = 0, session_port_ = 0;
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  std::vector<std::thread> running_;
};

}  // namespace cppworker
