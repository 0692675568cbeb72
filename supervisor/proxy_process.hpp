// One proxy as a supervised service: launched on the listening socket that the supervisor owns, told the
// worker's state, restarted when it dies, and ended when another has taken over and its last request is done.
//
// Threads: the supervisor's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <boost/asio/steady_timer.hpp>

#include "metrics/ledger.hpp"
#include "supervisor/control_socket.hpp"
#include "supervisor/service.hpp"

namespace cppworker {

struct ProxyServiceSetup {
  std::string program;        // path of cppworker-proxy
  bool log_json = false;      // as in Settings
  std::string settings_file;  // path of what it reads at its start (common/proxy_settings.hpp)
  int listener = -1;          // the public port's socket
  int session_listener = -1;  // that of the sessions' port
  // Also kTellOthers of a proxy that is gone, whose places at the inference server are free with that.
  std::function<void(ProxyNotice)> on_notice;
  std::function<void()> on_change;
  std::function<void(const Service&)> on_give_up;  // that proxy's own: gave_up or stuck
  LaunchRecords* records = nullptr;                // as in Service
  std::string memory_group{};                      // likewise
  std::string post_mortem_folder;                  // empty: none are kept
  int most_failures = 30;                          // as proxy_policy()'s
};

// How long it may take for what, and when there is no point in going on: after so many failures within ten
// minutes, or ten because it hung in its start.
ServicePolicy proxy_policy(int most_failures);

class ProxyProcess {
 public:
  ProxyProcess(asio::io_context& io, ProcessRunner& processes, Ledger& ledger, ProxyServiceSetup setup);

  Service& service() { return service_; }
  const Service& service() const { return service_; }
  // Sent to the running proxy, and to each later one when it starts.
  void set_state(const WorkerState& state);

  // Another proxy has changed what may concern this one (kLookMessage).
  void look();

  // It accepts no more, and is stopped when nothing is left of what it has. It isn't launched again.
  void retire();
  bool retiring() const { return state_.retiring; }
  bool drained() const { return drained_; }  // it has said so, in answer to a state that asks for it

 private:
  Result<ProcessSpec> make_spec(const std::string& tree_mark);
  void on_notice(ProxyNotice notice);
  void on_change();
  void on_gone();
  // The proxy's word that its loops turn; without it the proxy is replaced.
  void count_silence();

  asio::io_context& io_;
  Ledger& ledger_;
  ProxyServiceSetup setup_;
  WorkerState state_;
  std::shared_ptr<ControlSocket> control_;
  UniqueFd for_proxy_;
  asio::steady_timer next_count_;
  int silence_ = 0;  // counts since its last word
  bool drained_ = false;
  std::uint64_t owner_ = 0;  // of the running proxy's entries in the ledger
  Service service_;
};

}  // namespace cppworker
