#include "common/json_scan.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/json_bytes.hpp"

namespace cppworker {
namespace {

using json_bytes::hex_value;
using json_bytes::is_digit;
using json_bytes::scan_string_body;
using json_bytes::skip_blanks;

// Behind the escape at `at`; nullptr when it is none.
const char* scan_escape(const char* at, const char* end) {
  if (end - at < 2) return nullptr;
  switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      return at + 2;
    case 'u':
      if (end - at < 6 || (hex_value(at[2]) | hex_value(at[3]) | hex_value(at[4]) | hex_value(at[5])) < 0)
        return nullptr;
      return at + 6;
    default:
      return nullptr;
  }
}

// From behind the opening quote to the closing one; nullptr when it is no string.
const char* scan_string(const char* at, const char* end, bool& escaped) {
  auto on_escape = [&](const char* escape) {
    escaped = true;
    return scan_escape(escape, end);
  };
  at = scan_string_body(at, end, on_escape, [&](std::size_t escapes) { escaped |= escapes > 0; });
  return at == nullptr || at == end || *at != '"' ? nullptr : at;
}

// Behind the digits, of which there must be one; else nullptr.
const char* scan_digits(const char* at, const char* end) {
  if (at == end || !is_digit(*at)) return nullptr;
  while (at != end && is_digit(*at)) ++at;
  return at;
}

const char* scan_number(const char* at, const char* end) {
  if (*at == '-') ++at;
  if (at != end && *at == '0')
    ++at;  // and no digit may follow
  else if ((at = scan_digits(at, end)) == nullptr)
    return nullptr;
  if (at != end && *at == '.' && (at = scan_digits(at + 1, end)) == nullptr) return nullptr;
  if (at != end && (*at | 0x20) == 'e') {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    at = scan_digits(at, end);
  }
  return at;
}

const char* scan_word(const char* at, const char* end, std::string_view word) {
  bool there =
      static_cast<std::size_t>(end - at) >= word.size() && std::memcmp(at, word.data(), word.size()) == 0;
  return there ? at + word.size() : nullptr;
}

// The open containers: one bit each, set for an object.
class OpenContainers {
 public:
  explicit OpenContainers(int limit) : limit_(std::clamp(limit, 1, kDeepestJson)) {}

  bool push(bool object) {
    if (depth_ == limit_) return false;
    std::uint64_t bit = std::uint64_t{1} << (depth_ % 64);
    std::uint64_t& word = bits_[static_cast<std::size_t>(depth_ / 64)];
    word = object ? word | bit : word & ~bit;
    ++depth_;
    in_object_ = object;
    return true;
  }
  void pop() {
    --depth_;
    int top = depth_ - 1;
    in_object_ = top >= 0 && (bits_[static_cast<std::size_t>(top / 64)] >> (top % 64) & 1) != 0;
  }
  int depth() const { return depth_; }
  bool in_object() const { return in_object_; }

 private:
  int limit_;
  int depth_ = 0;
  bool in_object_ = false;
  std::array<std::uint64_t, kDeepestJson / 64> bits_;
};

class Validator {
 public:
  Validator(std::string_view text, int max_depth, int levels, detail::MemberSink sink, void* context)
      : at_(text.data()),
        end_(text.data() + text.size()),
        open_(max_depth),
        levels_(levels),
        sink_(sink),
        context_(context) {}

  JsonFault run() {
    while (true) {
      at_ = skip_blanks(at_, end_);
      if (at_ == end_) return JsonFault::kMalformed;
      if (in_told_object()) told_[open_.depth()].value = at_;
      Begun begun = begin_value();
      if (begun == Begun::kMalformed) return JsonFault::kMalformed;
      if (begun == Begun::kTooDeep) return JsonFault::kTooDeep;
      if (begun == Begun::kEntered) continue;
      // A value is complete, and with it the containers that it was the last of.
      while (true) {
        if (in_told_object()) tell_member();
        at_ = skip_blanks(at_, end_);
        if (open_.depth() == 0) return at_ == end_ ? JsonFault::kNone : JsonFault::kMalformed;
        if (at_ == end_) return JsonFault::kMalformed;
        char next = *at_++;
        if (next == ',') {
          if (open_.in_object() && !read_key()) return JsonFault::kMalformed;
          break;
        }
        if (next != (open_.in_object() ? '}' : ']')) return JsonFault::kMalformed;
        open_.pop();
      }
    }
  }

 private:
  enum class Begun { kComplete, kEntered, kMalformed, kTooDeep };

  Begun begin_value() {
    switch (*at_) {
      case '{':
      case '[':
        return enter();
      case '"': {
        bool escaped = false;
        at_ = scan_string(at_ + 1, end_, escaped);
        if (at_ == nullptr) return Begun::kMalformed;
        ++at_;
        return Begun::kComplete;
      }
      case 't':
        at_ = scan_word(at_, end_, "true");
        break;
      case 'f':
        at_ = scan_word(at_, end_, "false");
        break;
      case 'n':
        at_ = scan_word(at_, end_, "null");
        break;
      default:
        at_ = scan_number(at_, end_);
    }
    return at_ == nullptr ? Begun::kMalformed : Begun::kComplete;
  }

  Begun enter() {
    bool object = *at_++ == '{';
    if (!open_.push(object)) return Begun::kTooDeep;
    if (open_.depth() == 1) outermost_is_object_ = object;
    at_ = skip_blanks(at_, end_);
    if (at_ != end_ && *at_ == (object ? '}' : ']')) {
      ++at_;
      open_.pop();
      return Begun::kComplete;
    }
    return object && !read_key() ? Begun::kMalformed : Begun::kEntered;
  }

  // The name and the colon before a member's value.
  bool read_key() {
    at_ = skip_blanks(at_, end_);
    if (at_ == end_ || *at_ != '"') return false;
    const char* begin = at_ + 1;
    bool escaped = false;
    const char* close = scan_string(begin, end_, escaped);
    if (close == nullptr) return false;
    if (in_told_object()) {
      JsonMember& member = told_[open_.depth()].member;
      member.key = {begin, static_cast<std::size_t>(close - begin)};
      member.key_escaped = escaped;
    }
    at_ = skip_blanks(close + 1, end_);
    return at_ != end_ && *at_++ == ':';
  }

  // Whether the innermost open container is one whose members are told.
  bool in_told_object() const {
    return open_.depth() <= levels_ && open_.in_object() && (open_.depth() < 2 || outermost_is_object_);
  }

  void tell_member() {
    Told& told = told_[open_.depth()];
    told.member.value = {told.value, static_cast<std::size_t>(at_ - told.value)};
    sink_(context_, open_.depth() == 2 ? &told_[1].member : nullptr, told.member);
  }

  struct Told {
    JsonMember member;
    const char* value = nullptr;  // where it begins
  };

  const char* at_;
  const char* end_;
  OpenContainers open_;
  int levels_;
  detail::MemberSink sink_;
  void* context_;
  bool outermost_is_object_ = false;
  std::array<Told, 3> told_;  // by depth
};

}  // namespace

JsonFault validate_json(std::string_view text, int max_depth) {
  return detail::validate_json(text, max_depth, 0, nullptr, nullptr);
}

JsonFault detail::validate_json(std::string_view text, int max_depth, int levels, MemberSink sink,
                                void* context) {
  // Before the grammar, not after: on_member then never sees a broken character.
  if (!simdjson::validate_utf8(text.data(), text.size())) return JsonFault::kNotUtf8;
  return Validator(text, max_depth, levels, sink, context).run();
}

}  // namespace cppworker
