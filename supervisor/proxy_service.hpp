// The proxy as a supervised service: launched on the listening socket that the supervisor owns, told the
// worker's state, restarted when it dies. Clients wait in the socket's backlog meanwhile.
//
// Threads: the supervisor's loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <boost/asio/steady_timer.hpp>

#include "metrics/ledger.hpp"
#include "supervisor/control_socket.hpp"
#include "supervisor/service.hpp"

namespace cppworker {

struct ProxyServiceSetup {
  std::string program;  // path of cppworker-proxy
  bool log_json = false;
  std::string settings_file;  // path of what it reads (common/proxy_settings.hpp)
  int listener = -1;          // the public port's socket
  int session_listener = -1;  // that of the sessions' port
  std::function<void(ProxyNotice)> on_notice;
  std::function<void()> on_change, on_give_up;
  LaunchRecords* records = nullptr;  // as in Service
  std::string post_mortem_folder;    // empty: none are kept
};

class ProxyService {
 public:
  ProxyService(asio::io_context& io, ProcessRunner& processes, Ledger& ledger, ProxyServiceSetup setup);

  Service& service() { return service_; }
  // Sent to the running proxy, and to each later one when it starts.
  void set_state(const WorkerState& state);

 private:
  Result<ProcessSpec> make_spec(const std::string& tree_mark);
  void on_gone();

  asio::io_context& io_;
  Ledger& ledger_;
  ProxyServiceSetup setup_;
  WorkerState state_;
  std::shared_ptr<ControlSocket> control_;
  UniqueFd for_proxy_;
  // The proxy's word that its loops turn; without it the proxy is replaced.
  void count_silence();

  asio::steady_timer next_count_;
  int silence_ = 0;          // counts since its last word
  std::uint64_t owner_ = 0;  // of the running proxy's entries in the ledger
  Service service_;
};

}  // namespace cppworker
