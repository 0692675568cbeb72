// Workload expressions: a text that somebody may write into backend.json, and a payload that anybody may
// send. An input is a line with the expression, and after it the payload.
#include "common/json_scan.hpp"
#include "launchers/workload.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

// `by_lua`: the same expression in a form that nothing but Lua evaluates.
void check_evaluation(const Workload& workload, const Workload* by_lua, std::string_view payload) {
  WorkloadEvaluator evaluator(workload);
  auto first = evaluator.milli_units(payload);
  if (first)
    require(*first >= 0 && *first <= Workload::kMostMilliUnits, "work is within its limits");
  else
    require(!first.error().message.empty(), "an error says something");
  (void)evaluator.milli_units(R"({"inputs":"other","n":[1,2,{"x":null}]})");
  auto again = evaluator.milli_units(payload);
  require(bool(again) == bool(first), "a request leaves nothing to the next");
  if (first) require(*again == *first, "the same payload is the same work");
  if (by_lua == nullptr) return;
  auto lua = WorkloadEvaluator(*by_lua).milli_units(payload);
  // A function may spend the budget of instructions that the expression just keeps to.
  if (first && lua) require(*lua == *first, "what is computed without Lua is what Lua computes");
}

}  // namespace

void check_input(std::string_view input) {
  std::string_view formula = input.substr(0, input.find('\n'));
  std::string_view payload = input.substr(std::min(input.size(), formula.size() + 1));
  auto workload = Workload::compile(std::string(formula));
  if (!workload) {
    require(workload.error().message.starts_with("cannot compile the workload"),
            "an error says what is wrong");
    return;
  }
  // Brackets that end in the middle would end the function, too.
  auto wrapped = Workload::compile("(function() return " + std::string(formula) + "\nend)()");
  const Workload* by_lua = wrapped ? &*wrapped : nullptr;
  check_evaluation(*workload, by_lua, "");
  check_evaluation(*workload, by_lua,
                   R"({"inputs":"a few words","parameters":{"max_new_tokens":"128"},"list":[1,[2],{}]})");
  std::string_view object = json_trim(payload);
  bool is_object = validate_json(object) == JsonFault::kNone && json_type(object) == JsonType::kObject;
  if (is_object) check_evaluation(*workload, by_lua, object);
}

}  // namespace cppworker::fuzz
