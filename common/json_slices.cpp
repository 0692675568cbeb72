// The readers of json_scan.hpp: they step through bytes that were validated before.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "common/json_bytes.hpp"
#include "common/json_scan.hpp"

namespace cppworker {
namespace {

using json_bytes::count_string;
using json_bytes::hex_value;
using json_bytes::scan_string_body;
using json_bytes::skip_blanks;
using json_bytes::structure_stop;

// From the opening quote to behind the closing one.
const char* skip_string(const char* at, const char* end) {
  auto behind_escape = [end](const char* escape) { return end - escape < 2 ? end : escape + 2; };
  do {
    at = scan_string_body(at + 1, end, behind_escape, [](std::size_t) {});
    if (at == end) return end;
  } while (*at != '"');
  return at + 1;
}

const char* skip_container(const char* at, const char* end) {
  std::size_t depth = 0;
  while ((at = structure_stop(at, end)) != end) {
    if (*at == '"') {
      at = skip_string(at, end);
      continue;
    }
    bool opens = *at == '{' || *at == '[';
    ++at;
    if (opens)
      ++depth;
    else if (--depth == 0)
      return at;
  }
  return end;
}

const char* skip_value(const char* at, const char* end) {
  if (at == end) return end;
  if (*at == '"') return skip_string(at, end);
  if (*at == '{' || *at == '[') return skip_container(at, end);
  constexpr std::string_view kAfterScalar = ",]} \n\r\t";
  while (at != end && kAfterScalar.find(*at) == std::string_view::npos) ++at;
  return at;
}

std::string_view slice(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// To the next member or item.
const char* skip_separators(const char* at, const char* end) {
  at = skip_blanks(at, end);
  if (at != end && *at == ',') at = skip_blanks(at + 1, end);
  return at;
}

// The four digits behind "\u"; -1 when they aren't there.
std::int32_t escaped_unit(const char* at, const char* end) {
  if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return -1;
  std::int32_t unit = 0;
  for (int i = 2; i < 6; ++i) {
    int digit = hex_value(at[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

char32_t next_escaped(const char*& at, const char* end) {
  std::int32_t unit = escaped_unit(at, end);
  if (unit >= 0) {
    at += 6;
    bool high = unit >= 0xd800 && unit < 0xdc00;
    std::int32_t low = high ? escaped_unit(at, end) : -1;
    if (low < 0xdc00 || low > 0xdfff) return static_cast<char32_t>(unit);
    at += 6;
    return static_cast<char32_t>(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
  }
  char name = end - at < 2 ? '\\' : at[1];
  at += end - at < 2 ? 1 : 2;
  switch (name) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return static_cast<unsigned char>(name);
  }
}

char32_t next_character(const char*& at, const char* end) {
  auto first = static_cast<unsigned char>(*at);
  if (first == '\\') return next_escaped(at, end);
  ++at;
  if (first < 0xc0) return first;
  int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  char32_t character = first & (0x3f >> more);
  for (; more > 0 && at != end; --more, ++at)
    character = character << 6 | (static_cast<unsigned char>(*at) & 0x3f);
  return character;
}

// Without the quotes.
std::string_view string_body(std::string_view value) {
  return value.size() < 2 ? std::string_view{} : value.substr(1, value.size() - 2);
}

// Where the bytes up to the next escape end.
const char* plain_end(const char* at, const char* end) {
  const void* found = at == end ? nullptr : std::memchr(at, '\\', static_cast<std::size_t>(end - at));
  return found == nullptr ? end : static_cast<const char*>(found);
}

}  // namespace

JsonType json_type(std::string_view value) {
  switch (value.empty() ? 'n' : value.front()) {
    case '{':
      return JsonType::kObject;
    case '[':
      return JsonType::kArray;
    case '"':
      return JsonType::kString;
    case 't':
    case 'f':
      return JsonType::kBoolean;
    case 'n':
      return JsonType::kNull;
    default:
      return JsonType::kNumber;
  }
}

std::string_view json_trim(std::string_view text) {
  const char* end = text.data() + text.size();
  const char* begin = skip_blanks(text.data(), end);
  while (end != begin && skip_blanks(end - 1, end) == end) --end;
  return slice(begin, end);
}

JsonMembers::JsonMembers(std::string_view object) : at_(object.data()), end_(object.data() + object.size()) {
  if (object.size() < 2 || object.front() != '{') {
    at_ = end_;
  } else {
    ++at_;
    --end_;
  }
}

std::optional<JsonMember> JsonMembers::next() {
  at_ = skip_separators(at_, end_);
  if (at_ == end_ || *at_ != '"') return std::nullopt;
  const char* begin = at_ + 1;
  const char* after = skip_string(at_, end_);
  JsonMember member;
  member.key = slice(begin, after == begin ? begin : after - 1);
  member.key_escaped = member.key.find('\\') != std::string_view::npos;
  at_ = skip_blanks(after, end_);
  if (at_ != end_ && *at_ == ':') at_ = skip_blanks(at_ + 1, end_);
  const char* value = at_;
  at_ = skip_value(at_, end_);
  member.value = slice(value, at_);
  return member;
}

JsonItems::JsonItems(std::string_view array) : at_(array.data()), end_(array.data() + array.size()) {
  if (array.size() < 2 || array.front() != '[') {
    at_ = end_;
  } else {
    ++at_;
    --end_;
  }
}

std::optional<std::string_view> JsonItems::next() {
  at_ = skip_separators(at_, end_);
  if (at_ == end_) return std::nullopt;
  const char* value = at_;
  at_ = skip_value(at_, end_);
  if (at_ == value) {
    at_ = end_;
    return std::nullopt;
  }
  return slice(value, at_);
}

std::optional<std::string_view> find_json_member(const JsonObject& object, std::string_view name) {
  std::optional<std::string_view> found;
  for_each_member(object, [&](const JsonMember& member) {
    if (json_key_is(member, name)) found = member.value;
  });
  return found;
}

bool json_escaped_key_is(std::string_view key, std::string_view name) {
  const char* at = key.data();
  const char* end = at + key.size();
  for (char wanted : name)
    if (at == end || next_character(at, end) != static_cast<unsigned char>(wanted)) return false;
  return at == end;
}

JsonCharacters::JsonCharacters(std::string_view string_value)
    : at_(string_body(string_value).data()), end_(at_ + string_body(string_value).size()) {}

std::optional<char32_t> JsonCharacters::next() {
  if (at_ == end_) return std::nullopt;
  return next_character(at_, end_);
}

std::size_t encode_utf8(char32_t character, char* out) {
  auto continuation = [&](int shift) { return static_cast<char>(0x80 | (character >> shift & 0x3f)); };
  if (character < 0x80) {
    out[0] = static_cast<char>(character);
    return 1;
  }
  if (character < 0x800) {
    out[0] = static_cast<char>(0xc0 | character >> 6);
    out[1] = continuation(0);
    return 2;
  }
  if (character < 0x10000) {
    out[0] = static_cast<char>(0xe0 | character >> 12);
    out[1] = continuation(6);
    out[2] = continuation(0);
    return 3;
  }
  out[0] = static_cast<char>(0xf0 | character >> 18);
  out[1] = continuation(12);
  out[2] = continuation(6);
  out[3] = continuation(0);
  return 4;
}

void append_json_string(std::string& out, std::string_view string_value) {
  std::string_view body = string_body(string_value);
  const char* at = body.data();
  const char* end = at + body.size();
  while (at != end) {
    const char* stop = plain_end(at, end);
    out.append(at, stop);
    at = stop;
    if (at == end) return;
    char bytes[4];
    out.append(bytes, encode_utf8(next_escaped(at, end), bytes));
  }
}

std::size_t json_string_length(std::string_view string_value) {
  std::string_view body = string_body(string_value);
  const char* at = body.data();
  const char* end = at + body.size();
  const json_bytes::StringCount count = count_string(at, end);
  if (!count.unicode) return count.characters - count.escapes;

  // As if each byte of an escape were a character; all but one of them are taken off again.
  std::size_t length = count.characters;
  auto on_escape = [&](const char* escape) {
    const char* behind = escape;
    next_escaped(behind, end);
    length -= static_cast<std::size_t>(behind - escape) - 1;
    return behind;
  };
  while (at != end) {
    at = scan_string_body(at, end, on_escape, [&](std::size_t escapes) { length -= escapes; });
    if (at != end) ++at;
  }
  return length;
}

double json_number(std::string_view number) {
  double value = 0;
  auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (ec != std::errc::result_out_of_range) return value;

  // std::from_chars doesn't say whether it is too large or too small; the place of its first digit does.
  bool negative = number.front() == '-';
  if (negative) number.remove_prefix(1);
  std::size_t e = number.find_first_of("eE");
  std::string_view digits = number.substr(0, e);
  // An exponent that overflows its own integer is decided by its sign alone: no text that we read has the
  // digits to make up for it.
  bool exponent_negative = e != std::string_view::npos && number.substr(e + 1).starts_with('-');
  std::int64_t exponent = 0;
  if (e != std::string_view::npos) {
    std::size_t begin = e + 1;
    if (number[begin] == '+' || number[begin] == '-') ++begin;
    auto read = std::from_chars(number.data() + begin, number.data() + number.size(), exponent);
    if (read.ec != std::errc{}) exponent = std::int64_t{1} << 62;
    if (exponent_negative) exponent = -exponent;
  }
  std::size_t point = std::min(digits.find('.'), digits.size());
  std::size_t first = digits.find_first_of("123456789");
  std::int64_t place = static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first);
  double magnitude = exponent + place > 0 ? HUGE_VAL : 0.0;
  return negative ? -magnitude : magnitude;
}

}  // namespace cppworker
