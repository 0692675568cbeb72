// Runs a loop until something has happened, and not a moment longer.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async.hpp"

namespace cppworker {

// Only a broken test waits so long; generous because sanitizers on a busy machine are slow.
inline constexpr std::chrono::seconds kTestLimit{20};

// False when `limit` passed first. The predicate is looked at after every handler.
template <class Predicate>
bool run_until(asio::io_context& io, Predicate&& predicate, std::chrono::milliseconds limit = kTestLimit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!predicate()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) return false;
    // What the predicate watches may be another process's doing, which wakes no handler: hence the short
    // turns.
    io.restart();
    io.run_one_for(std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(5)));
  }
  return true;
}

// The coroutine's value.
template <class T>
T run_coroutine(asio::io_context& io, Awaitable<T> work) {
  std::optional<T> value;
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr problem, T result) {
    if (problem) std::rethrow_exception(problem);
    value.emplace(std::move(result));
  });
  if (!run_until(io, [&] { return value.has_value(); })) throw std::runtime_error("the coroutine didn't end");
  return std::move(*value);
}

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(testing::TempDir() + "/cppworker_test.XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace cppworker
