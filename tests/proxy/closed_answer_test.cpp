#include "proxy/closed_answer.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace cppworker {
namespace {

bool whole(const std::vector<std::string_view>& pieces, std::string_view content_type = "application/json") {
  ClosedAnswer answer(content_type);
  for (std::string_view piece : pieces) answer.see(piece);
  return answer.whole();
}

TEST(ClosedAnswer, IsWholeWhenTheOutermostBracketIsClosed) {
  EXPECT_TRUE(whole({R"({"results": [{"text": "x"}]})"}));
  EXPECT_TRUE(whole({" [1,", "", "2] \r\n", "\n"}));
  EXPECT_TRUE(whole({"{", "}"}, ""));
  EXPECT_TRUE(whole({"null"}));
}

TEST(ClosedAnswer, BrokeOffWhenItStaysOpenOrNothingCame) {
  EXPECT_FALSE(whole({R"({"results": [{"text": "x)"}));
  EXPECT_FALSE(whole({R"({"results": [)", " "}));
  EXPECT_FALSE(whole({"[1, {}"}, ""));
  EXPECT_FALSE(whole({}));
  EXPECT_FALSE(whole({""}, "text/plain"));
}

TEST(ClosedAnswer, SaysNothingAgainstWhatIsNoJson) {
  EXPECT_TRUE(whole({"[a note"}, "text/plain"));
  EXPECT_TRUE(whole({"data: {\n\n"}, "text/event-stream"));
}

}  // namespace
}  // namespace cppworker
