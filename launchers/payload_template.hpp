// The body of a benchmark's request: a JSON value in whose strings "${words:250}" stands for that many words
// and
// "${int}" for a number, new ones for each request, so that no server answers from a cache.
//
// A string that is "${int}" alone becomes a JSON number. The sequence of bodies depends on the seed alone.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <nlohmann/json.hpp>

#include "common/result.hpp"

namespace cppworker {

class PayloadTemplate {
 public:
  // A context window of a million tokens, about.
  static constexpr int kMostWords = 1'000'000;
  // What fits a seed of 31 bits, which every server takes.
  static constexpr std::uint64_t kLargestInt = 0x7fffffff;

  // "cannot use the benchmark payload: …" for an unknown placeholder.
  static Result<PayloadTemplate> compile(nlohmann::json payload, std::uint64_t seed);

  // The next body, as JSON text.
  std::string expand();

 private:
  PayloadTemplate(nlohmann::json payload, std::uint64_t seed) : payload_(std::move(payload)), random_(seed) {}

  nlohmann::json payload_;
  std::mt19937_64 random_;
};

}  // namespace cppworker
