#include "supervisor/public_key_keeper.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "common/logging.hpp"
#include "common/public_key.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

// Before the second key of the file; then come UNIX seconds and the end of the line.
constexpr std::string_view kUntil = "The one before it is valid until ";
// Both lines together, and some more.
constexpr std::size_t kLongestLines = 4096;

// By the wall clock, which alone outlives a process.
std::chrono::system_clock::time_point wall_time(std::chrono::steady_clock::time_point at) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                                at - std::chrono::steady_clock::now());
}

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
  load();
}

void PublicKeyKeeper::load() {
  auto kept = read_file(file_, kLongestLines + 2 * kLongestKeyPem);
  if (!kept || !kept->starts_with(head_)) return;
  const std::string_view text = std::string_view(*kept).substr(head_.size());
  const std::size_t second = text.find(kUntil);
  const std::string_view pem = text.substr(0, second);
  if (auto parsed = parse_public_key(pem); !parsed) {
    spdlog::warn("Public key kept in {}: {}", file_, parsed.error().message);
    return;
  }
  newest_ = pem;
  if (second == std::string_view::npos) return;
  const std::string_view line = text.substr(second + kUntil.size());
  const std::size_t end = line.find('\n');
  std::int64_t until = 0;
  if (end == std::string_view::npos ||
      std::from_chars(line.data(), line.data() + end, until).ptr != line.data() + end)
    return;
  const std::chrono::seconds now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  // A clock that was set back meanwhile must not make it last.
  const std::chrono::seconds left = std::clamp<std::chrono::seconds>(
      std::chrono::seconds(until) - now, std::chrono::seconds(0), std::chrono::seconds(kOverlap));
  const std::string_view before = line.substr(end + 1);
  if (left.count() == 0 || !parse_public_key(before)) return;
  previous_ = before;
  previous_until_ = Clock::now() + left;
}

void PublicKeyKeeper::keep() const {
  std::string text = head_ + newest_;
  if (!previous_.empty()) {
    if (!text.ends_with('\n')) text += '\n';
    const auto until = wall_time(previous_until_).time_since_epoch();
    text.append(kUntil)
        .append(std::to_string(std::chrono::duration_cast<std::chrono::seconds>(until).count()))
        .append("\n")
        .append(previous_);
  }
  if (!write_file_atomically(file_, text, 0644))
    spdlog::warn("Cannot keep the public key in {}: {}; it is fetched again at the next start", file_,
                 std::strerror(errno));
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
  keep();
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
      keep();
      spdlog::info("The autoscaler's old public key is no longer valid");
      on_change_();
    }
  }
}

}  // namespace cppworker
