#include "proxy/canonical_json.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace cppworker {
namespace {

std::string python(std::string_view value) {
  std::string out;
  append_python_value(out, value);
  return out;
}

// The same rules by other means: the fewest digits of printf's that read back as the same double.
std::string naive_repr(double value) {
  char text[64];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits - 1, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  std::string mantissa = text;
  int exponent = std::atoi(mantissa.c_str() + mantissa.find('e') + 1);
  mantissa.resize(mantissa.find('e'));
  if (exponent < -4 || exponent >= 16) {
    std::snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return mantissa + text;
  }
  std::string digits;
  std::string sign = mantissa.front() == '-' ? "-" : "";
  for (char c : mantissa)
    if (c >= '0' && c <= '9') digits += c;
  while (exponent < 0) digits.insert(0, "0"), ++exponent;
  while (digits.size() < static_cast<std::size_t>(exponent) + 2) digits += '0';
  return sign + digits.insert(static_cast<std::size_t>(exponent) + 1, ".");
}

TEST(CanonicalJson, IntegersStayAsTheyAreExceptMinusZero) {
  EXPECT_EQ(python("0"), "0");
  EXPECT_EQ(python("-0"), "0");
  EXPECT_EQ(python("-17"), "-17");
  EXPECT_EQ(python("1180591620717411303424"), "1180591620717411303424");
  EXPECT_EQ(python(std::string(390, '7')), std::string(390, '7'));
}

TEST(CanonicalJson, FloatsAreSpelledAsPythonDoes) {
  EXPECT_EQ(python("300.0"), "300.0");
  EXPECT_EQ(python("3e2"), "300.0");
  EXPECT_EQ(python("3E+2"), "300.0");
  EXPECT_EQ(python("0.1000"), "0.1");
  EXPECT_EQ(python("0.0001"), "0.0001");
  EXPECT_EQ(python("0.00001"), "1e-05");
  EXPECT_EQ(python("123.456e-9"), "1.23456e-07");
  EXPECT_EQ(python("9999999999999998.0"), "9999999999999998.0");
  EXPECT_EQ(python("1e15"), "1000000000000000.0");
  EXPECT_EQ(python("1e16"), "1e+16");
  EXPECT_EQ(python("12345678901234567.0"), "1.2345678901234568e+16");
  EXPECT_EQ(python("1.5e22"), "1.5e+22");
  EXPECT_EQ(python("1.7976931348623157e308"), "1.7976931348623157e+308");
  EXPECT_EQ(python("5e-324"), "5e-324");
  EXPECT_EQ(python("2.2250738585072014e-308"), "2.2250738585072014e-308");
  EXPECT_EQ(python("-0.0"), "-0.0");
  EXPECT_EQ(python("0e5"), "0.0");
}

TEST(CanonicalJson, FloatsOutOfRangeBecomeWhatPythonMakesOfThem) {
  EXPECT_EQ(python("1e999"), "Infinity");
  EXPECT_EQ(python("-1e999"), "-Infinity");
  EXPECT_EQ(python("1e-999"), "0.0");
  EXPECT_EQ(python("-1e-999"), "-0.0");
  EXPECT_EQ(python(std::string(390, '9') + ".0"), "Infinity");
}

TEST(CanonicalJson, RandomDoublesAgreeWithPrintfsShortestDigits) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    double value = 0;
    if (i % 2 == 0) {
      std::uint64_t bits = random();
      std::memcpy(&value, &bits, sizeof value);
      if (value != value || value - value != 0) continue;
    } else {
      value = static_cast<double>(static_cast<std::int64_t>(random() >> (i % 60))) / (i % 3 == 0 ? 1000 : 1);
    }
    char text[64];
    std::snprintf(text, sizeof text, "%.17e", value);
    EXPECT_EQ(python(text), naive_repr(value)) << text;
  }
}

TEST(CanonicalJson, StringsAreAsciiWithLowerCaseEscapes) {
  EXPECT_EQ(python(R"("a\"b\\c\/d")"), R"("a\"b\\c/d")");
  EXPECT_EQ(python(R"("\b\f\n\r\t\u0000\u001B")"), R"("\b\f\n\r\t\u0000\u001b")");
  EXPECT_EQ(python("\"p\xc3\xb6nt \x7f ~ \xe2\x80\xa8\""), R"("p\u00f6nt \u007f ~ \u2028")");
  EXPECT_EQ(python("\"\xf0\x9f\x98\x80\""), R"("\ud83d\ude00")");
  EXPECT_EQ(python(R"("\uD83D\uDE00")"), R"("\ud83d\ude00")");
  EXPECT_EQ(python(R"("\ud83d\u0041")"), R"("\ud83dA")");
  EXPECT_EQ(python(R"("\u0061\u0022")"), R"("a\"")");
  EXPECT_EQ(python("\"\xf4\x8f\xbf\xbf\""), R"("\udbff\udfff")");
}

TEST(CanonicalJson, MembersStandInTheSignedOrderWhateverTheClients) {
  AuthFields auth;
  auth.url = R"("http:\/\/203.0.113.9:41234")";
  auth.reqnum = "17";
  auth.endpoint = "\"my-endpoint\"";
  auth.cost = "256.50";
  std::string text = "kept";
  append_full_text(text, auth);
  EXPECT_EQ(text,
            "kept{\n    \"cost\": 256.5,\n    \"endpoint\": \"my-endpoint\",\n    \"reqnum\": 17,\n"
            "    \"url\": \"http://203.0.113.9:41234\"\n}");
  text.clear();
  append_url_text(text, auth);
  EXPECT_EQ(text, "{\n    \"url\": \"http://203.0.113.9:41234\"\n}");
}

}  // namespace
}  // namespace cppworker
