// The autoscaler's public key: fetched with retries, kept on disk for the next start, fetched again when
// signatures fail, and now and then without that. The key before the newest stays valid for an overlap, also
// across a restart in the middle of it. An answer that is no usable key is a failed fetch.
//
// The file: a line that says where the newest key is from, its PEM, and during the overlap a line that says
// how long the one before it is valid, and its PEM.
//
// Threads: the supervisor's loop.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/async.hpp"
#include "common/result.hpp"

namespace cppworker {

class PublicKeyKeeper {
 public:
  // Between two tries, doubled up to the most. It never gives up: without the key nobody can be served.
  static constexpr std::chrono::seconds kFirstRetry{1}, kLongestRetry{60};
  // Failing signatures may be a stranger's: he can't make us ask more often than this.
  static constexpr std::chrono::seconds kShortestRefetch{60};
  // Clients hold routes that were signed with the old key for as long as they wait for a turn.
  static constexpr std::chrono::minutes kOverlap{10};

  // A key that was withdrawn must not stay good only because none but its holders come.
  static constexpr std::chrono::hours kLongestUnasked{1};

  using Fetch = std::function<Awaitable<Result<std::string>>()>;

  // `source` is where `fetch` asks: a key that was kept in `file` from elsewhere is not trusted. `on_change`
  // is called when keys() has changed.
  PublicKeyKeeper(asio::any_io_executor executor, Fetch fetch, std::string source, std::string file,
                  std::function<void()> on_change);

  // Fetches, retries, and then waits for refetch(). Ends with the io_context.
  Awaitable<> run();

  // Asks for a fetch: now, or as soon as kShortestRefetch allows.
  void refetch();

  // PEM, newest first.
  std::vector<std::string> keys() const;
  const std::string& last_error() const { return last_error_; }

 private:
  using Clock = std::chrono::steady_clock;

  void load();
  void take(std::string pem);
  void keep() const;
  // Looks at `look`, and at each refetch(). Meanwhile the old key's end is told when it comes.
  template <class Predicate>
  Awaitable<> wait_until(Predicate reached, Clock::time_point look);

  Fetch fetch_;
  const std::string head_;  // of the file: says where its key is from
  std::string file_;
  std::function<void()> on_change_;
  asio::steady_timer wake_;
  bool wanted_ = true;
  std::string newest_, previous_, last_error_;
  Clock::time_point previous_until_{};
};

// A fetch that reads a PEM file.
PublicKeyKeeper::Fetch fetch_from_file(std::string path);

}  // namespace cppworker
