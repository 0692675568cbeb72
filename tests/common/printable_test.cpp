// Foreign text ends in JSON pages and reports, which take nothing but UTF-8: a line that was cut inside a
// character made /status throw.
#include <gtest/gtest.h>

#include <string>
#include <nlohmann/json.hpp>

#include "common/logging.hpp"

namespace cppworker {
namespace {

TEST(PrintableUtf8, ReplacesEachBrokenByte) {
  EXPECT_EQ(printable("a\xff"), "a?");
  EXPECT_EQ(printable("\x80z"), "?z") << "a continuation of nothing";
  EXPECT_EQ(printable("\xc3z"), "?z") << "no continuation";
  EXPECT_EQ(printable("\xe6\xa8"), "??") << "the line's end inside a character";
  EXPECT_EQ(printable("\xc0\xaf"), "??") << "a slash in two bytes";
  EXPECT_EQ(printable("\xe0\x80\xaf"), "???");
  EXPECT_EQ(printable("\xed\xa0\x80"), "???") << "half a surrogate pair";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????") << "beyond the last character";
  EXPECT_EQ(printable("\xf8\x88\x80\x80\x80"), "?????");
  EXPECT_EQ(printable("ö\xffö"), "ö?ö");
}

TEST(PrintableUtf8, ReplacesTheControlCharactersBeyondAscii) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "?2J")
      << "clears some terminals";
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");
}

TEST(PrintableUtf8, CutsBetweenTwoCharacters) {
  EXPECT_EQ(printable("aö", 2), "a…");
  EXPECT_EQ(printable("aö", 3), "aö");
  EXPECT_EQ(printable("模型", 3), "模…");
  EXPECT_EQ(printable("模型", 4), "模…");
  EXPECT_EQ(printable("模型", 5), "模…");
  EXPECT_EQ(printable("🚀", 3), "…");
}

TEST(PrintableUtf8, IsAlwaysFitForJson) {
  const std::string text = "Lädt 模型 🚀 \xff\xe6 \x1b[2J";
  for (std::size_t limit = 0; limit <= text.size(); ++limit)
    for (std::size_t begin = 0; begin < text.size(); ++begin)
      EXPECT_NO_THROW(static_cast<void>(nlohmann::json(printable(text.substr(begin), limit)).dump()))
          << begin << " " << limit;
}

}  // namespace
}  // namespace cppworker
