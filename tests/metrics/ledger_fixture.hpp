// A ledger in a folder of its own, and what every test of it asks.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "metrics/ledger.hpp"

namespace cppworker {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = testing::TempDir() + "/cppworker-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Received is what became of it, in requests and in work, and in flight agrees with its table.
inline void expect_books_sum_up(const LedgerSnapshot& books) {
  const Totals& t = books.totals;
  EXPECT_EQ(t.received.requests, t.served.requests + t.errored.requests + t.cancelled.requests +
                                     t.rejected.requests + books.in_flight_amount.requests);
  EXPECT_EQ(t.received.work_milli, t.served.work_milli + t.errored.work_milli + t.cancelled.work_milli +
                                       t.rejected.work_milli + books.in_flight_amount.work_milli);
  EXPECT_EQ(static_cast<std::size_t>(books.in_flight_amount.requests), books.in_flight.size());
}

class LedgerTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kOwner = 7;

  LedgerTest() : ledger_(Ledger::create(path_, "container 1").value()) {}

  static Acceptance request(std::int64_t work_milli, std::optional<std::int64_t> request_idx = {}) {
    Acceptance made;
    made.work_milli = work_milli;
    made.request_idx = request_idx;
    return made;
  }
  static Acceptance signed_request(std::uint64_t reqnum) {
    Acceptance made = request(1000);
    made.reqnum = reqnum;
    made.once = true;
    return made;
  }
  Ticket accept(const Acceptance& request) {
    auto [verdict, ticket] = ledger_->accept(kOwner, request);
    EXPECT_EQ(verdict, Verdict::kAccepted);
    return ticket;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "ledger";
  std::unique_ptr<Ledger> ledger_;
};

// Runs `work` in a child process, which ends without running anything of the test's.
inline pid_t in_child(const std::function<void()>& work) {
  pid_t pid = ::fork();
  if (pid == 0) {
    work();
    ::_exit(0);
  }
  return pid;
}

inline int status_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

inline bool killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
inline bool ended_well(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A T that parent and children share.
template <class T>
class Shared {
 public:
  Shared() {
    void* place = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::runtime_error("cannot share memory");
    value_ = new (place) T();
  }
  ~Shared() { ::munmap(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  T* operator->() { return value_; }
  T& operator*() { return *value_; }

 private:
  T* value_;
};

}  // namespace cppworker
