#include "launchers/failure_detector.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

const std::vector<std::string> kLines = {"data:{\"error\"", "data: {\"error\""};

bool found_in(std::initializer_list<std::string_view> pieces) {
  FailureDetector detector(kLines);
  for (std::string_view piece : pieces) detector.see(piece);
  return detector.found();
}

TEST(FailureDetectorTest, FindsTheLineWhereverItIsCut) {
  const std::string body = "data:{\"token\":1}\n\ndata: {\"error\":\"out of memory\"}\n\n";
  for (std::size_t cut = 0; cut <= body.size(); ++cut)
    EXPECT_TRUE(found_in({body.substr(0, cut), body.substr(cut)})) << cut;
  FailureDetector byte_by_byte(kLines);
  for (char c : body) byte_by_byte.see({&c, 1});
  EXPECT_TRUE(byte_by_byte.found());
}

TEST(FailureDetectorTest, OnlyTheBeginningOfALineCounts) {
  EXPECT_FALSE(found_in({"data:{\"text\":\"data:{\\\"error\\\"\"}\n"}));
  EXPECT_FALSE(found_in({" data:{\"error\"\n"}));
  EXPECT_FALSE(found_in({"data:{\"err", "\nor\""}));
}

TEST(FailureDetectorTest, WithoutLinesNothingIsAFailure) {
  const std::vector<std::string> none;
  FailureDetector detector(none);
  detector.see("data:{\"error\"");
  EXPECT_FALSE(detector.found());
}

}  // namespace
}  // namespace cppworker
