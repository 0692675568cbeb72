#include "launchers/workload.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "common/json_scan.hpp"
#include "common/text.hpp"
#include "launchers/workload_sandbox.hpp"

namespace cppworker {
namespace {

// A formula in a message: enough to find it.
constexpr std::size_t kQuotedFormula = 80;

std::string in_quotes(const std::string& formula) {
  return "\"" + formula.substr(0, kQuotedFormula) + (formula.size() > kQuotedFormula ? "…\"" : "\"");
}

bool is_name(std::string_view text) {
  auto letter = [](char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || digit(c); });
}

// {"a", "b"} of "payload.a.b"; nullopt when it is no plain path.
std::optional<std::vector<std::string>> read_path(std::string_view formula) {
  constexpr std::string_view kRoot = "payload.";
  if (!formula.starts_with(kRoot)) return std::nullopt;
  formula.remove_prefix(kRoot.size());
  std::vector<std::string> names;
  while (true) {
    std::size_t dot = formula.find('.');
    std::string_view name = formula.substr(0, dot);
    if (!is_name(name)) return std::nullopt;
    names.emplace_back(name);
    if (dot == std::string_view::npos) return names;
    formula.remove_prefix(dot + 1);
  }
}

// A number, or a numeral in a string, as num() of the expressions takes it; anything else is no work.
double number_at(const JsonObject& payload, const std::vector<std::string>& names) {
  std::optional<std::string_view> value = payload.text;
  for (std::size_t depth = 0; depth < names.size(); ++depth) {
    value = find_json_member(depth == 0 ? payload : JsonObject(*value), names[depth]);
    if (!value) return 0;
  }
  if (json_type(*value) == JsonType::kNumber) return json_number(*value);
  if (json_type(*value) != JsonType::kString) return 0;
  std::string_view text = value->substr(1, value->size() - 2);
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  return ec == std::errc{} && end == text.data() + text.size() && std::isfinite(number) ? number : 0;
}

std::int64_t to_milli_units(double units) {
  constexpr auto kMost = static_cast<double>(Workload::kMostMilliUnits);
  return static_cast<std::int64_t>(std::llround(std::clamp(units * 1000, 0.0, kMost)));
}

}  // namespace

Workload Workload::constant(double units) {
  Workload workload;
  workload.milli_units_ = to_milli_units(units);
  return workload;
}

Result<Workload> Workload::compile(const std::string& formula) {
  std::string text(trim(formula));
  Workload workload;
  if (auto path = read_path(text)) {
    workload.kind_ = Kind::kPath;
    workload.path_ = std::move(*path);
    return workload;
  }
  auto sandbox = WorkloadSandbox::create(text);
  if (!sandbox) return wrap("cannot compile the workload " + in_quotes(text), sandbox.error());
  workload.kind_ = Kind::kExpression;
  workload.expression_ = std::move(text);
  return workload;
}

std::string Workload::formula() const {
  if (kind_ == Kind::kConstant) return std::to_string(milli_units_);
  if (kind_ == Kind::kExpression) return expression_;
  std::string path = "payload";
  for (const std::string& name : path_) path += "." + name;
  return path;
}

WorkloadEvaluator::WorkloadEvaluator(const Workload& workload) : workload_(workload) {
  // It compiled before, so it does again.
  if (workload.kind_ == Workload::Kind::kExpression)
    sandbox_ = WorkloadSandbox::create(workload.expression_).value();
}

WorkloadEvaluator::WorkloadEvaluator(WorkloadEvaluator&&) noexcept = default;
WorkloadEvaluator& WorkloadEvaluator::operator=(WorkloadEvaluator&&) noexcept = default;
WorkloadEvaluator::~WorkloadEvaluator() = default;

Result<std::int64_t> WorkloadEvaluator::milli_units(const JsonObject& payload) {
  if (workload_.kind_ == Workload::Kind::kConstant) return workload_.milli_units_;
  if (workload_.kind_ == Workload::Kind::kPath) return to_milli_units(number_at(payload, workload_.path_));

  auto units = sandbox_->evaluate(payload);
  if (units && !std::isnan(*units)) return to_milli_units(*units);
  return wrap("cannot evaluate the workload " + in_quotes(workload_.expression_),
              units ? fail("its value is not a number") : units.error());
}

}  // namespace cppworker
