// Long strings are scanned by other code than short ones: it is compared with the plain way to do it, for
// what may come at every place of a step.
#include "common/json_bytes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace cppworker::json_bytes {
namespace {

// Longer than what is scanned inline, and than several steps of the long scan.
constexpr std::size_t kLongest = kLongRun + 400;

struct Scanned {
  std::size_t end = 0, escapes = 0;
  bool operator==(const Scanned&) const = default;
};

Scanned scan(const std::string& text) {
  Scanned result;
  const char* begin = text.data();
  const char* end = begin + text.size();
  auto on_escape = [&](const char* escape) {
    ++result.escapes;
    return end - escape < 2 ? end : escape + 2;
  };
  auto on_simple = [&](std::size_t escapes) { result.escapes += escapes; };
  result.end = static_cast<std::size_t>(scan_string_body(begin, end, on_escape, on_simple) - begin);
  return result;
}

Scanned scan_plainly(const std::string& text) {
  Scanned result;
  std::size_t& at = result.end;
  while (at < text.size() && text[at] != '"' && static_cast<unsigned char>(text[at]) > 0x1f) {
    result.escapes += text[at] == '\\';
    at = std::min(at + (text[at] == '\\' ? 2 : 1), text.size());
  }
  return result;
}

TEST(JsonBytesTest, ALongRunEndsAtItsQuoteControlCharacterOrEnd) {
  for (std::size_t size = 0; size <= kLongest; ++size) {
    EXPECT_EQ(scan(std::string(size, 'a')).end, size);
    for (char stop : {'"', '\0', '\x1f'}) {
      std::string text = std::string(size, 'a') + stop + std::string(100, '"');
      EXPECT_EQ(scan(text).end, size) << static_cast<int>(stop);
    }
  }
}

TEST(JsonBytesTest, BytesBesideTheStopsDontEndARun) {
  std::string text;
  for (int c = 0x20; c < 0x100; ++c)
    if (c != '"' && c != '\\') text += static_cast<char>(c);
  while (text.size() < 4 * kLongest) text += text;
  EXPECT_EQ(scan(text).end, text.size());
}

TEST(JsonBytesTest, EscapesInsideLongRunsAreSeenWhereverTheyStand) {
  for (std::size_t first = 0; first <= kLongest; ++first)
    for (std::size_t between : {std::size_t{0}, std::size_t{1}, std::size_t{15}, kLongRun, kLongest}) {
      std::string text = std::string(first, 'a') + "\\\"" + std::string(between, 'b') + "\\\\" +
                         std::string(kLongest, 'c') + "\"\\";
      ASSERT_EQ(scan(text), scan_plainly(text)) << first << ", " << between;
    }
}

TEST(JsonBytesTest, RowsOfBackslashesEscapeEveryOther) {
  for (std::size_t first = kLongRun - 70; first <= kLongRun + 70; ++first)
    for (std::size_t row = 1; row <= 140; ++row) {
      std::string text =
          std::string(first, 'a') + std::string(row, '\\') + "\"" + std::string(200, 'b') + '"';
      ASSERT_EQ(scan(text), scan_plainly(text)) << first << ", " << row;
    }
}

TEST(JsonBytesTest, OnlyEscapesOfOneLetterArePassedOver) {
  constexpr std::size_t kBlock = 64;
  for (int c = 0; c < 0x100; ++c)
    for (std::size_t place = 0; place < kBlock; ++place) {
      std::string text = std::string(place, 'a') + '\\' + static_cast<char>(c) + std::string(3 * kBlock, 'a');
      std::size_t escapes = 0;
      const char* end = text.data() + text.size();
      const char* at = skip_simple_blocks(text.data(), end, escapes);
      bool simple =
          c != 0 && std::string_view("\"\\/bfnrt").find(static_cast<char>(c)) != std::string_view::npos;
      if (at == text.data() && end - at == static_cast<std::ptrdiff_t>(text.size()) && escapes == 0 && simple)
        GTEST_SKIP() << "this processor hasn't got AVX2";
      ASSERT_EQ(escapes, simple ? 1 : 0) << c << " at " << place;
      ASSERT_EQ(end - at < static_cast<std::ptrdiff_t>(kBlock), simple) << c << " at " << place;
      if (!simple) {
        ASSERT_LE(static_cast<std::size_t>(at - text.data()), place);
      }
    }
}

TEST(JsonBytesTest, CountsCharactersOfAnyLengthAtAnyPlace) {
  const std::string characters[] = {"a", "é", "語", "😀"};
  std::string text;
  std::size_t count = 0;
  for (; text.size() < 20'000; ++count) {
    text += characters[count * count % 4];
    if (text.size() < 1000 || text.size() > 19'500) {
      ASSERT_EQ(count_utf8(text.data(), text.data() + text.size()), count + 1);
    }
  }
  std::string plain(20'000, 'x');
  EXPECT_EQ(count_utf8(plain.data(), plain.data() + plain.size()), plain.size());
}

// Byte by byte, for strings of any length and with runs of backslashes at any place of a block.
StringCount count_plainly(std::string_view text) {
  StringCount count;
  for (std::size_t at = 0; at < text.size(); ++at) {
    count.characters += (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
    if (text[at] != '\\' || at + 1 == text.size()) continue;
    ++at;
    ++count.characters;
    ++count.escapes;
    count.unicode |= text[at] == 'u';
  }
  return count;
}

TEST(JsonBytesTest, CountsEscapesAtAnyPlace) {
  const std::string pieces[] = {"\\n", "\\\\\\\\\\n", "\\u00e9", "\\\\u00e9", "\\\\"};
  for (const std::string& piece : pieces)
    for (std::size_t before = 0; before <= 140; ++before)
      for (const char* filling : {"a", "u", "é"}) {
        std::string text;
        while (text.size() < before) text += filling;
        text += piece;
        for (std::size_t behind = 0; behind < 70; ++behind) text += filling;
        const StringCount counted = count_string(text.data(), text.data() + text.size());
        const StringCount expected = count_plainly(text);
        ASSERT_EQ(counted.characters, expected.characters) << text;
        ASSERT_EQ(counted.escapes, expected.escapes) << text;
        ASSERT_EQ(counted.unicode, expected.unicode) << text;
      }
}

}  // namespace
}  // namespace cppworker::json_bytes
