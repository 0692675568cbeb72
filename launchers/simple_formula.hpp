// The workload formulas that most backends have, evaluated without Lua, which costs a request as much as all
// other checks of its body together: sums, differences, products and quotients of numbers, num(payload.a.b,
// otherwise) and chars(payload.a.b). Internal to workload.
//
// The value is the one that Lua would compute. What Lua would convert (a numeral in a string) is left to it.
// Immutable after compile(); any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json_scan.hpp"

namespace cppworker {

class SimpleFormula {
 public:
  // nullopt: not of that kind, or not Lua at all. The caller has compiled it in Lua, too, which knows names
  // that can't be names.
  static std::optional<SimpleFormula> compile(std::string_view text);

  // `payload`: valid JSON, or nothing. nullopt: this payload is for Lua.
  std::optional<double> evaluate(const JsonObject& payload) const;

 private:
  friend class SimpleFormulaParser;

  // Of a machine with a stack. The paths' values are there before the first step.
  enum class Op : std::uint8_t { kNumber, kNum, kChars, kAdd, kSubtract, kMultiply, kDivide };
  struct Step {
    Op op;
    double number = 0;     // kNumber; kNum: when there is none
    std::size_t path = 0;  // kNum, kChars
  };
  static constexpr std::size_t kMostPaths = 8;
  static constexpr std::size_t kMostSteps = 32;

  std::vector<std::vector<std::string>> paths_;
  std::vector<Step> steps_;
};

}  // namespace cppworker
