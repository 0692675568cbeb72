#include "launchers/simple_formula.hpp"

#include <array>
#include <charconv>

namespace cppworker {
namespace {

// Whole numbers are Lua's 64-bit integers, which wrap. With these bounds nothing here comes near to that, and
// doubles compute the same.
constexpr double kLargestNumber = 1e6;
constexpr int kMostProducts = 2;

constexpr int kDeepest = 8;  // brackets

bool is_letter(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

// sum = product {(+|-) product};  product = value {(*|/) value};
// value = number | num(path[, number]) | chars(path) | ( sum )
class SimpleFormulaParser {
 public:
  explicit SimpleFormulaParser(std::string_view text) : text_(text) {}

  std::optional<SimpleFormula> run() {
    bool whole = sum(0) && (skip_blanks(), text_.empty());
    if (!whole || formula_.paths_.empty()) return std::nullopt;
    return std::move(formula_);
  }

 private:
  using Op = SimpleFormula::Op;

  void skip_blanks() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t' || text_.front() == '\n'))
      text_.remove_prefix(1);
  }
  bool take(char wanted) {
    skip_blanks();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string_view name() {
    skip_blanks();
    std::size_t size = 0;
    while (size < text_.size() && (is_letter(text_[size]) || (size > 0 && is_digit(text_[size])))) ++size;
    std::string_view found = text_.substr(0, size);
    text_.remove_prefix(size);
    return found;
  }
  std::optional<double> number() {
    skip_blanks();
    std::size_t size = 0;
    while (size < text_.size() && (is_digit(text_[size]) || text_[size] == '.')) ++size;
    double value = 0;
    auto [end, ec] = std::from_chars(text_.data(), text_.data() + size, value, std::chars_format::fixed);
    bool read = size > 0 && ec == std::errc{} && end == text_.data() + size && value <= kLargestNumber;
    // What goes on like a name is hexadecimal, an exponent or a mistake.
    if (!read || (size < text_.size() && is_letter(text_[size]))) return std::nullopt;
    text_.remove_prefix(size);
    return value;
  }
  std::optional<std::size_t> path() {
    if (name() != "payload") return std::nullopt;
    std::vector<std::string> names;
    while (take('.')) {
      names.emplace_back(name());
      if (names.back().empty()) return std::nullopt;
    }
    if (names.empty() || formula_.paths_.size() == SimpleFormula::kMostPaths) return std::nullopt;
    formula_.paths_.push_back(std::move(names));
    return formula_.paths_.size() - 1;
  }

  bool add(SimpleFormula::Step step) {
    formula_.steps_.push_back(step);
    return formula_.steps_.size() <= SimpleFormula::kMostSteps;
  }
  bool sum(int depth) {
    if (!product(depth)) return false;
    while (true) {
      Op op = take('+') ? Op::kAdd : take('-') ? Op::kSubtract : Op::kNumber;
      if (op == Op::kNumber) return true;
      if (!product(depth) || !add({op})) return false;
    }
  }
  bool product(int depth) {
    if (!value(depth)) return false;
    while (true) {
      Op op = take('*') ? Op::kMultiply : take('/') ? Op::kDivide : Op::kNumber;
      if (op == Op::kNumber) return true;
      if (op == Op::kMultiply && ++products_ > kMostProducts) return false;
      if (!value(depth) || !add({op})) return false;
    }
  }
  bool value(int depth) {
    if (take('(')) return depth < kDeepest && sum(depth + 1) && take(')');
    if (auto literal = number()) return add({Op::kNumber, *literal});
    std::string_view function = name();
    if ((function != "num" && function != "chars") || !take('(')) return false;
    auto argument = path();
    if (!argument) return false;
    SimpleFormula::Step step{function == "num" ? Op::kNum : Op::kChars, 0, *argument};
    if (step.op == Op::kNum && take(',')) {
      auto otherwise = number();
      if (!otherwise) return false;
      step.number = *otherwise;
    }
    return take(')') && add(step);
  }

  std::string_view text_;
  SimpleFormula formula_;
  int products_ = 0;
};

std::optional<SimpleFormula> SimpleFormula::compile(std::string_view text) {
  return SimpleFormulaParser(text).run();
}

std::optional<double> SimpleFormula::evaluate(const JsonObject& payload) const {
  // The first names in one pass, since the payload holds a prompt or an image; of repeated ones the last
  // counts.
  std::array<std::optional<std::string_view>, kMostPaths> values;
  for_each_member(payload, [&](const JsonMember& member) {
    for (std::size_t i = 0; i < paths_.size(); ++i)
      if (json_key_is(member, paths_[i].front())) values[i] = member.value;
  });
  for (std::size_t i = 0; i < paths_.size(); ++i)
    for (std::size_t depth = 1; depth < paths_[i].size() && values[i]; ++depth)
      values[i] = find_json_member(*values[i], paths_[i][depth]);

  std::array<double, kMostSteps> stack;
  std::size_t top = 0;
  for (const Step& step : steps_) {
    switch (step.op) {
      case Op::kNumber:
        stack[top++] = step.number;
        continue;
      case Op::kNum: {
        std::string_view value = values[step.path].value_or("null");
        JsonType type = json_type(value);
        if (type == JsonType::kString) return std::nullopt;
        stack[top++] = type == JsonType::kNumber ? json_number(value) : step.number;
        continue;
      }
      case Op::kChars: {
        std::string_view value = values[step.path].value_or("null");
        bool text = json_type(value) == JsonType::kString;
        stack[top++] = text ? static_cast<double>(json_string_length(value)) : 0;
        continue;
      }
      default:
        break;
    }
    double right = stack[--top];
    double& left = stack[top - 1];
    if (step.op == Op::kAdd) left += right;
    if (step.op == Op::kSubtract) left -= right;
    if (step.op == Op::kMultiply) left *= right;
    if (step.op == Op::kDivide) left /= right;
  }
  return stack[0];
}

}  // namespace cppworker
