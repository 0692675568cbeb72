#include "supervisor/line_splitter.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace cppworker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Lines = std::vector<std::string>;

Lines split(const std::vector<std::string>& pieces, std::size_t longest = LineSplitter::kLongestLine) {
  LineSplitter splitter(longest);
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  for (const std::string& piece : pieces) splitter.feed(piece, keep);
  splitter.finish(keep);
  return lines;
}

TEST(LineSplitter, EndsLinesAtEveryKindOfEnd) {
  EXPECT_THAT(split({"a\nb\r\nc\rd"}), ElementsAre("a", "b", "c", "d"));
}

TEST(LineSplitter, GivesTheSameLinesHoweverTheBytesArrive) {
  const std::string text = "one\r\ntwo\n\nthree\rfour\r\n\r\nfive";
  const Lines whole = split({text});
  EXPECT_THAT(whole, ElementsAre("one", "two", "", "three", "four", "five"));
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(split({text.substr(0, cut), text.substr(cut)}), whole);
  Lines bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(split(bytes), whole);
}

TEST(LineSplitter, ShowsEachStateOfAProgressBar) {
  EXPECT_THAT(split({"\r 10%", "\r 50%\r100%\n"}), ElementsAre(" 10%", " 50%", "100%"));
}

TEST(LineSplitter, KeepsTheUnfinishedLineForItsRest) {
  LineSplitter splitter;
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.feed("Conn", keep);
  EXPECT_THAT(lines, IsEmpty());
  splitter.feed("ected\n", keep);
  EXPECT_THAT(lines, ElementsAre("Connected"));
}

TEST(LineSplitter, CutsALineThatIsTooLongAndCountsTheRest) {
  LineSplitter splitter(4);
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.feed("abcdef", keep);
  EXPECT_THAT(lines, ElementsAre("abcd")) << "handed over without waiting for an end that may never come";
  splitter.feed("gh\nnext\n", keep);
  EXPECT_THAT(lines, ElementsAre("abcd", "next"));
  EXPECT_EQ(splitter.dropped_bytes(), 4u);
}

TEST(LineSplitter, KeepsALineOfExactlyTheLimit) {
  EXPECT_THAT(split({"abcd\nef\n"}, 4), ElementsAre("abcd", "ef"));
  EXPECT_THAT(split({"abcd"}, 4), ElementsAre("abcd"));
}

TEST(LineSplitter, PassesAnyByteThrough) {
  EXPECT_THAT(split({std::string("a\0b\xff\n", 5)}), ElementsAre(std::string("a\0b\xff", 4)));
}

std::string stripped(std::string_view line) {
  std::string storage;
  return std::string(strip_ansi(line, storage));
}

TEST(StripAnsi, RemovesColoursAsTgiWritesThem) {
  EXPECT_EQ(
      stripped("\x1b[2m2024-03-01T10:00:00Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mrouter\x1b[0m: Connected"),
      "2024-03-01T10:00:00Z  INFO router: Connected");
}

TEST(StripAnsi, RemovesEveryKindOfSequence) {
  struct Case {
    std::string line, want;
  };
  for (const Case& one : std::vector<Case>{
           {"plain", "plain"},
           {"", ""},
           {"a\x1b[1;31mb", "ab"},
           {"a\x1b[?25lb", "ab"},
           {"a\x1b]0;title\ab", "ab"},
           {"a\x1b]8;;http://x\x1b\\link", "alink"},
           {"a\x1bPq#0\x1b\\b", "ab"},
           {"a\x1b(Bb", "ab"},
           {"a\x1b"
            "7b",
            "ab"},
           {"a\x1b", "a"},
           {"a\x1b[1;3", "a"},
           {"a\x1b]0;never ends", "a"},
           {"\x1b[0m", ""},
           {"\xc2\xb5s", "\xc2\xb5s"},
       })
    EXPECT_EQ(stripped(one.line), one.want) << testing::PrintToString(one.line);
}

TEST(StripAnsi, CopiesNothingWhereThereIsNothingToRemove) {
  const std::string line = "plain";
  std::string storage;
  EXPECT_EQ(strip_ansi(line, storage).data(), line.data());
}

}  // namespace
}  // namespace cppworker
