#include "supervisor/process_runner.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/process/v2/process.hpp>

#include "supervisor/process_launcher.hpp"

namespace cppworker {
namespace {

namespace process = boost::process::v2;
using Descriptor = asio::posix::stream_descriptor;

constexpr std::size_t kReadSize = 64 << 10;  // a pipe's default capacity: one read empties it
// Reads in a row from one pipe before other handlers get their turn: a child that prints without end must not
// stop the loop.
constexpr int kReadsInARow = 16;

using PidSet = std::set<pid_t>;

// One child, shared by its ChildProcess and the pending waits: the wait for the exit goes on when the
// ChildProcess is gone, so that no zombie stays.
class Child : public std::enable_shared_from_this<Child> {
 public:
  Child(asio::io_context& io, LaunchedProcess launched, UniqueFd out, UniqueFd err,
        ProcessCallbacks callbacks, std::shared_ptr<PidSet> owned)
      : pid_(launched.pid),
        process_(io.get_executor(), launched.pid, launched.pidfd.release()),
        streams_{Stream{Descriptor(io), OutputStream::kStdout},
                 Stream{Descriptor(io), OutputStream::kStderr}},
        callbacks_(std::move(callbacks)),
        owned_(std::move(owned)) {
    if (out) streams_[0].pipe.assign(out.release());
    if (err) streams_[1].pipe.assign(err.release());
    owned_->insert(pid_);
  }

  ~Child() {
    if (exited_) return;
    // Only when the io_context goes before the child has ended. The destructor of Boost's process would wait
    // for its death, however long the kernel takes.
    ::kill(-pid_, SIGKILL);
    owned_->erase(pid_);
    process_.detach();
  }

  void start() {
    for (Stream& stream : streams_) await_output(stream);
    process_.async_wait(
        [self = shared_from_this()](boost::system::error_code ec, int) { self->on_ended(ec); });
  }

  pid_t pid() const { return pid_; }

  bool signal(pid_t target, int number) {
    // Until its status is taken the pid, and with it the group's number, belongs to nobody else.
    return !exited_ && ::kill(target, number) == 0;
  }

  void abandon() {
    signal(-pid_, SIGKILL);
    callbacks_ = {};
    for (Stream& stream : streams_) close(stream);
  }

 private:
  struct Stream {
    Descriptor pipe;
    OutputStream name;
  };

  // Waits for readiness and reads afterwards, instead of one asynchronous read: so no bytes are ever on their
  // way in a queued handler while on_ended empties the pipe, which would turn their order round.
  void await_output(Stream& stream) {
    if (!stream.pipe.is_open()) return;
    stream.pipe.async_wait(Descriptor::wait_read,
                           [self = shared_from_this(), &stream](boost::system::error_code ec) {
                             if (ec) return;
                             self->read_available(stream, kReadsInARow);
                             self->await_output(stream);
                           });
  }

  void read_available(Stream& stream, int reads) {
    static std::array<char, kReadSize> buffer;  // one thread: all children share it
    while (reads-- > 0 && stream.pipe.is_open()) {
      const ssize_t got = ::read(stream.pipe.native_handle(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return close(stream);
      // A copy: the callback may destroy the ChildProcess, and with it the function that runs.
      const auto on_output = callbacks_.on_output;
      if (on_output) on_output(stream.name, std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
  }

  void close(Stream& stream) {
    boost::system::error_code ignored;
    stream.pipe.close(ignored);
  }

  void on_ended(boost::system::error_code ec) {
    if (ec == asio::error::operation_aborted) return;
    exited_ = true;
    owned_->erase(pid_);
    // An error here means that somebody else took the status; Boost's exit code then says 0, like success.
    const ExitStatus status = ec ? ExitStatus{} : ExitStatus::from_wait_status(process_.native_exit_code());
    // Its destructor would ask for the status again, and might get that of a later child with the same pid.
    process_.detach();
    // Bounded: a descendant that prints faster than we read must not hold back the news.
    for (Stream& stream : streams_) read_available(stream, kReadsInARow);
    const auto on_exit = std::move(callbacks_.on_exit);
    callbacks_.on_exit = nullptr;
    if (on_exit) on_exit(status);
  }

  const pid_t pid_;
  process::process process_;
  std::array<Stream, 2> streams_;
  ProcessCallbacks callbacks_;
  std::shared_ptr<PidSet> owned_;
  bool exited_ = false;
};

class RunningChild : public ChildProcess {
 public:
  explicit RunningChild(std::shared_ptr<Child> child) : child_(std::move(child)) {}
  ~RunningChild() override { child_->abandon(); }

  pid_t pid() const override { return child_->pid(); }
  bool signal_leader(int signal) override { return child_->signal(child_->pid(), signal); }
  bool signal_group(int signal) override { return child_->signal(-child_->pid(), signal); }

 private:
  std::shared_ptr<Child> child_;
};

struct Pipe {
  UniqueFd read, write;
};

// The reading end doesn't block; the child's end does, as every program expects.
Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(std::string("cannot make a pipe: ") + std::strerror(errno));
  Pipe made{UniqueFd(ends[0]), UniqueFd(ends[1])};
  ::fcntl(made.read.get(), F_SETFL, O_NONBLOCK);
  return made;
}

class AsioProcessRunner : public ProcessRunner {
 public:
  explicit AsioProcessRunner(asio::io_context& io) : io_(io) {}

  Result<std::unique_ptr<ChildProcess>> spawn(ProcessSpec spec, ProcessCallbacks callbacks) override {
    Pipe out, err;
    if (spec.capture_output) {
      for (Pipe* pipe : {&out, &err}) {
        Result<Pipe> made = make_pipe();
        if (!made) return wrap("cannot start the " + spec.name, made.error());
        *pipe = std::move(*made);
      }
    }
    const UniqueFd cgroup(
        spec.cgroup.empty() ? -1 : ::open((spec.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    LaunchOrder order{std::move(spec.program),
                      std::move(spec.args),
                      std::move(spec.environment),
                      std::move(spec.working_dir),
                      std::move(spec.pass_fds),
                      out.write.get(),
                      err.write.get(),
                      cgroup.get()};
    Result<LaunchedProcess> launched = launch_process(order);
    if (!launched) return wrap("cannot start the " + spec.name, launched.error());

    auto child = std::make_shared<Child>(io_, std::move(*launched), std::move(out.read), std::move(err.read),
                                         std::move(callbacks), owned_);
    child->start();
    return std::unique_ptr<ChildProcess>(std::make_unique<RunningChild>(std::move(child)));
  }

  bool owns(pid_t pid) const override { return owned_->contains(pid); }

 private:
  asio::io_context& io_;
  std::shared_ptr<PidSet> owned_ = std::make_shared<PidSet>();
};

}  // namespace

std::unique_ptr<ProcessRunner> make_process_runner(asio::io_context& io) {
  return std::make_unique<AsioProcessRunner>(io);
}

}  // namespace cppworker
