// Starts processes, hands over what they print, and says how they ended.
//
// An interface, so that whoever decides about processes is tested without any. Threads: one io_context run by
// one thread, which is also the one that calls spawn. Callbacks come from that loop, never from within spawn,
// and none after the ChildProcess is destroyed; destroying it from a callback is allowed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/io_context.hpp>

#include "common/async.hpp"
#include "common/result.hpp"
#include "supervisor/exit_status.hpp"

namespace cppworker {

enum class OutputStream { kStdout, kStderr };

struct ProcessSpec {
  std::string name{};                      // for messages: "model"
  std::string program{};                   // a path; PATH is not searched
  std::vector<std::string> args{};         // without argv[0]
  std::vector<std::string> environment{};  // exactly this (environment.hpp makes one)
  std::string working_dir{};               // empty: the supervisor's own
  std::vector<int> pass_fds{};             // become 3, 4, … in the child; still the caller's here
  std::string cgroup{};                    // folder of the control group to be born into; empty: ours
  bool capture_output = true;              // false: it writes to the supervisor's own output
};

struct ProcessCallbacks {
  // Bytes as they came, with no regard to lines (line_splitter.hpp).
  std::function<void(OutputStream, std::string_view)> on_output{};
  // Once, as soon as the leader has ended and everything that it had printed was handed over. Descendants may
  // hold the pipes open for as long as they like: what they still print keeps coming, to on_output, until the
  // ChildProcess is destroyed. So destroy it when the tree is swept.
  std::function<void(ExitStatus)> on_exit{};
};

class ChildProcess {
 public:
  // Ends the process group with SIGKILL if the leader still runs; its status is taken in the background.
  virtual ~ChildProcess() = default;
  virtual pid_t pid() const = 0;
  // False when there is nobody (any more) to send it to. Safe against a reused pid: nothing is sent to a
  // leader whose status was taken, and to its group only as long as on_exit hasn't been called.
  virtual bool signal_leader(int signal) = 0;
  virtual bool signal_group(int signal) = 0;
};

class ProcessRunner {
 public:
  virtual ~ProcessRunner() = default;
  // "cannot start the model: …": every cause is worth another try later.
  virtual Result<std::unique_ptr<ChildProcess>> spawn(ProcessSpec spec, ProcessCallbacks callbacks) = 0;
  // Whether the pid is of a child whose status this runner waits for: nobody else may (orphan_reaper.hpp).
  virtual bool owns(pid_t pid) const = 0;
};

// The runner must outlive neither its children nor the io_context's last handler.
std::unique_ptr<ProcessRunner> make_process_runner(asio::io_context& io);

}  // namespace cppworker
