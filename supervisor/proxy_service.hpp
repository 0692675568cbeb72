// The proxies of a worker: one that serves, perhaps one that is about to take over from it, and those that
// finish what they have.
//
// All share the listening socket, so that clients wait in its backlog at the worst, and the ledger. Threads:
// the supervisor's loop.
#pragma once

#include <list>
#include <memory>

#include "supervisor/proxy_process.hpp"

namespace cppworker {

class ProxyService {
 public:
  ProxyService(asio::io_context& io, ProcessRunner& processes, Ledger& ledger, ProxyServiceSetup setup);
  ~ProxyService();

  // Of the one that serves.
  Service& service() { return current_->service(); }
  const Service& service() const { return current_->service(); }
  bool replacing() const { return next_ != nullptr; }  // one is about to take over
  std::size_t retiring() const;
  std::uint64_t failures() const;  // of all there ever were

  void start() { current_->service().post(ServiceEventKind::kWantUp); }
  // Whether every proxy has said that nothing is in flight, or can't say anything any more.
  bool drained() const;
  void stop();   // all of them
  void hurry();  // no more patience, with any
  bool is_over() const;

  void set_state(const WorkerState& state);

  // Starts another proxy with the settings that lie in the settings file now. As soon as it serves, the
  // present one accepts no more, and is stopped when its last connection has ended: no client notices. If it
  // doesn't come to that, `failed` is called, and the present one goes on. Refused while there is a
  // hindrance.
  Result<void> replace(std::function<void()> failed);
  // Why there can be no replacement now: a new one is about to take over, or too many still finish what they
  // have. Empty: there is none. on_change comes when it goes.
  std::string hindrance() const;

 private:
  using Process = std::unique_ptr<ProxyProcess>;
  Process make();
  void tell_others(const ProxyProcess* than);
  void review();
  void bury();

  asio::io_context& io_;
  ProcessRunner& processes_;
  Ledger& ledger_;
  const ProxyServiceSetup setup_;
  WorkerState state_;
  Process current_, next_;
  std::function<void()> on_failed_replacement_;
  std::list<Process> retiring_;
  struct Grave;
  std::list<std::unique_ptr<Grave>> graves_;
  std::uint64_t failures_of_the_buried_ = 0;
  bool stopping_ = false;
};

}  // namespace cppworker
