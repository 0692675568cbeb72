// The Lua state that one expression runs in: internal to workload.
//
// Holds: no library that reaches outside, no way to catch an error (so that a spent budget ends the
// evaluation), no global that can be written (so that one request leaves nothing to the next), a limit on
// memory, on instructions and on the payload bytes that are read. Views of a payload that outlive their
// evaluation refuse to be used.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.hpp"
#include "launchers/payload_view.hpp"
#include "launchers/simple_formula.hpp"

struct lua_State;

namespace cppworker {

class WorkloadSandbox {
 public:
  // A formula has a handful of operations; one with a loop over a chat's messages has some hundred.
  static constexpr int kInstructionBudget = 20'000;
  // An empty state takes 25 KiB.
  static constexpr std::size_t kMemoryBudget = 512 * 1024;
  // Each name in a formula reads the payload once, at most.
  static constexpr std::int64_t kReadsOfPayload = 16;
  static constexpr std::int64_t kLeastReadBudget = 256 * 1024;

  static Result<std::unique_ptr<WorkloadSandbox>> create(const std::string& expression);
  ~WorkloadSandbox();
  WorkloadSandbox(const WorkloadSandbox&) = delete;
  WorkloadSandbox& operator=(const WorkloadSandbox&) = delete;

  // The expression's number; an error when it has none, or a budget was spent.
  Result<double> evaluate(const JsonObject& payload);

 private:
  friend struct SandboxFunctions;

  WorkloadSandbox() = default;
  // The message on top of the stack, which is popped.
  std::string take_error();

  std::optional<SimpleFormula> simple_;  // where the expression needs no Lua for most payloads
  lua_State* lua_ = nullptr;
  std::size_t memory_ = 0;
  PayloadReading reading_;
  std::string_view payload_;  // of the evaluation that runs
  double result_ = 0;
};

}  // namespace cppworker
