// The work units of a request, by the formula of its endpoint: a number, a plain path
// ("payload.parameters.max_new_tokens"; missing: 0), or a Lua 5.4 expression over the payload.
//
// In an expression, `payload` is a lazy view of the request's JSON: only what is named is read. Indexing what
// isn't there gives nil, at any depth. chars(x) and words(x) count the characters and words of a string (0
// for anything else), num(x, otherwise) is x where that is a number. Of Lua's libraries: ipairs, tonumber,
// type, tostring, math (without random) and string's len, lower, sub, upper. Numbers of the payload are
// doubles, so that a large one saturates instead of wrapping round. Formulas are the operator's, payloads are
// strangers': an expression has a budget of instructions, of memory and of payload bytes read.
//
// A Workload is immutable and shared; a WorkloadEvaluator belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/json_scan.hpp"
#include "common/result.hpp"

namespace cppworker {

class WorkloadSandbox;

class Workload {
 public:
  // Results are thousandths of a work unit, from 0 to this.
  static constexpr std::int64_t kMostMilliUnits = 1'000'000'000'000;

  static Workload constant(double units);
  // A path, or an expression that compiles. "cannot compile the workload "…": …".
  static Result<Workload> compile(const std::string& formula);

  // A number: the payload is never looked at.
  bool is_constant() const { return kind_ == Kind::kConstant; }
  // As it was given, blanks at its ends aside; of a constant, its thousandths.
  std::string formula() const;

 private:
  friend class WorkloadEvaluator;
  enum class Kind { kConstant, kPath, kExpression };

  // One of these means something, by the kind. (As a std::variant, g++ 12 warns of its moves when
  // sanitizing.)
  Kind kind_ = Kind::kConstant;
  std::int64_t milli_units_ = 0;
  std::vector<std::string> path_;
  std::string expression_;
};

class WorkloadEvaluator {
 public:
  explicit WorkloadEvaluator(const Workload& workload);
  WorkloadEvaluator(WorkloadEvaluator&&) noexcept;
  WorkloadEvaluator& operator=(WorkloadEvaluator&&) noexcept;
  ~WorkloadEvaluator();

  // `payload`: a JSON object that was validated, or nothing (a request without a body). An error names the
  // formula and what went wrong in it, nothing of the payload; the caller takes a default then.
  Result<std::int64_t> milli_units(const JsonObject& payload);

 private:
  Workload workload_;
  std::unique_ptr<WorkloadSandbox> sandbox_;  // of an expression
};

}  // namespace cppworker
