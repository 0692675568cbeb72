#include "proxy/canonical_json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace cppworker {
namespace {

void append_unit(std::string& out, std::uint32_t unit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 0xf];
}

// Python's ensure_ascii. What lies past U+FFFF becomes the two surrogates that UTF-16 has for it.
void append_python_character(std::string& out, char32_t c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      break;
  }
  if (c >= 0x20 && c <= 0x7e) {
    out += static_cast<char>(c);
  } else if (c < 0x10000) {
    append_unit(out, c);
  } else {
    append_unit(out, 0xd800 + ((c - 0x10000) >> 10));
    append_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
  }
}

void append_python_string(std::string& out, std::string_view value) {
  out += '"';
  JsonCharacters characters(value);
  while (auto c = characters.next()) append_python_character(out, *c);
  out += '"';
}

// Python's repr(float): the shortest digits that read back as the same double; plain where the decimal
// exponent is from -4 to 15, else scientific.
void append_python_double(std::string& out, double value) {
  if (std::signbit(value)) out += '-';
  value = std::fabs(value);
  if (std::isinf(value)) {
    out += "Infinity";  // what json.dumps writes, though it is no JSON
    return;
  }
  std::array<char, 32> text;
  auto [end, ec] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific);
  std::string_view scientific(text.data(), static_cast<std::size_t>(end - text.data()));
  std::size_t e = scientific.find('e');
  int exponent = 0;
  bool negative = scientific[e + 1] == '-';
  std::from_chars(scientific.data() + e + 2, end, exponent);
  if (negative) exponent = -exponent;

  constexpr int kLeastPlain = -4;
  constexpr int kMostPlain = 15;
  if (exponent < kLeastPlain || exponent > kMostPlain) {
    // std::to_chars, like Python, writes two digits of exponent at least.
    out += scientific;
    return;
  }
  std::string digits(1, scientific[0]);
  if (e > 2) digits += scientific.substr(2, e - 2);
  if (exponent < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-exponent - 1), '0');
    out += digits;
    return;
  }
  std::size_t whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  out.append(digits, 0, whole);
  out += '.';
  if (digits.size() == whole)
    out += '0';
  else
    out.append(digits, whole);
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  out += "\n    \"";
  out += name;
  out += "\": ";
  append_python_value(out, value);
}

}  // namespace

void append_python_value(std::string& out, std::string_view value) {
  if (json_type(value) == JsonType::kString) {
    append_python_string(out, value);
  } else if (value.find_first_of(".eE") != std::string_view::npos) {
    append_python_double(out, json_number(value));
  } else {
    // JSON allows one spelling of an integer only, but for zero.
    out += value == "-0" ? std::string_view("0") : value;
  }
}

void append_full_text(std::string& out, const AuthFields& auth) {
  out += '{';
  append_member(out, "cost", auth.cost);
  out += ',';
  append_member(out, "endpoint", auth.endpoint);
  out += ',';
  append_member(out, "reqnum", auth.reqnum);
  out += ',';
  append_member(out, "url", auth.url);
  out += "\n}";
}

void append_url_text(std::string& out, const AuthFields& auth) {
  out += '{';
  append_member(out, "url", auth.url);
  out += "\n}";
}

}  // namespace cppworker
