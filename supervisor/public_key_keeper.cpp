#include "supervisor/public_key_keeper.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/logging.hpp"
#include "common/public_key.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

Awaitable<Result<std::string>> read_key_file(std::string path) {
  errno = 0;
  auto content = read_file(path, kLongestKeyPem + 1);
  if (!content) co_return fail("cannot read the public key " + path + ": " + std::strerror(errno));
  co_return Result<std::string>(std::move(*content));
}

}  // namespace

PublicKeyKeeper::Fetch fetch_from_file(std::string path) {
  return [path = std::move(path)] { return read_key_file(path); };
}

PublicKeyKeeper::PublicKeyKeeper(asio::any_io_executor executor, Fetch fetch, std::string source,
                                 std::string file, std::function<void()> on_change)
    : fetch_(std::move(fetch)),
      head_("Fetched from " + source + "\n"),
      file_(std::move(file)),
      on_change_(std::move(on_change)),
      wake_(executor) {
  auto kept = read_file(file_, head_.size() + kLongestKeyPem + 1);
  if (!kept || !kept->starts_with(head_)) return;
  std::string pem = kept->substr(head_.size());
  if (auto parsed = parse_public_key(pem))
    newest_ = std::move(pem);
  else
    spdlog::warn("Public key kept in {}: {}", file_, parsed.error().message);
}

std::vector<std::string> PublicKeyKeeper::keys() const {
  std::vector<std::string> keys;
  if (!newest_.empty()) keys.push_back(newest_);
  if (!previous_.empty() && Clock::now() < previous_until_) keys.push_back(previous_);
  return keys;
}

void PublicKeyKeeper::refetch() {
  wanted_ = true;
  wake_.cancel();
}

void PublicKeyKeeper::take(std::string pem) {
  last_error_.clear();
  if (pem == newest_) return;
  if (!newest_.empty()) {
    previous_ = newest_;
    previous_until_ = Clock::now() + kOverlap;
    spdlog::warn("The autoscaler has a new public key; the old one stays valid for {} minutes",
                 kOverlap.count());
  }
  newest_ = std::move(pem);
  if (!write_file_atomically(file_, head_ + newest_, 0644))
    spdlog::warn("Cannot keep the public key in {}: {}; it is fetched again at the next start", file_,
                 std::strerror(errno));
  on_change_();
}

Awaitable<> PublicKeyKeeper::run() {
  std::chrono::seconds retry = kFirstRetry;
  while (true) {
    wanted_ = false;
    Result<std::string> fetched = co_await fetch_();
    if (fetched) {
      // One that the proxy couldn't use is no key: the one before it stays.
      auto parsed = parse_public_key(*fetched);
      if (!parsed) fetched = parsed.error();
    }
    Clock::duration pause = kShortestRefetch;
    if (fetched) {
      take(std::move(*fetched));
      retry = kFirstRetry;
    } else {
      if (last_error_ != fetched.error().message) spdlog::warn("Public key: {}", fetched.error().message);
      last_error_ = fetched.error().message;
      wanted_ = true;
      pause = retry;
      retry = std::min(retry * 2, kLongestRetry);
    }
    auto until = Clock::now() + pause;
    auto unasked = Clock::now() + kLongestUnasked;
    co_await wait_until([&] { return Clock::now() >= until; }, until);
    co_await wait_until([&] { return wanted_ || Clock::now() >= unasked; }, unasked);
  }
}

template <class Predicate>
Awaitable<> PublicKeyKeeper::wait_until(Predicate reached, Clock::time_point look) {
  while (!reached()) {
    wake_.expires_at(previous_.empty() ? look : std::min(look, previous_until_));
    co_await wake_.async_wait(kTuple);
    if (!previous_.empty() && Clock::now() >= previous_until_) {
      previous_.clear();
      spdlog::info("The autoscaler's old public key is no longer valid");
      on_change_();
    }
  }
}

}  // namespace cppworker
