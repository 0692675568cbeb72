#include "proxy/websocket_scanner.hpp"

#include <gtest/gtest.h>

#include "proxy/websocket_held_frames.hpp"
#include "tests/proxy/websocket_wire.hpp"

namespace cppworker {
namespace {

const std::vector<std::string> kLines = {"{\"error\"", "failed:"};

TEST(FrameHeaderTest, IsReadOnceItIsWhole) {
  for (std::size_t size : {0U, 5U, 125U, 126U, 65535U, 65536U}) {
    const std::string frame = client_frame(kText, std::string(size, 'x'));
    auto header = read_frame_header(frame);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->length, size);
    EXPECT_EQ(header->size, frame.size() - size);
    EXPECT_LE(header->size, kLongestFrameHeader);
    EXPECT_TRUE(header->last_of_message && header->mask);
    for (std::size_t part = 0; part < header->size; ++part)
      EXPECT_FALSE(read_frame_header(frame.substr(0, part)));
  }
  EXPECT_FALSE(read_frame_header(server_frame(kText, "x", false))->last_of_message);
  EXPECT_FALSE(read_frame_header(server_frame(kText, "x"))->mask);
}

// Whatever pieces the bytes come in.
class FrameScannerTest : public testing::TestWithParam<std::size_t> {
 protected:
  void see(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), GetParam())))
      scanner.see(bytes.substr(0, GetParam()));
  }
  FrameScanner scanner{kLines};
};
INSTANTIATE_TEST_SUITE_P(InPieces, FrameScannerTest, testing::Values(1, 3, 100, 1 << 20));

TEST_P(FrameScannerTest, KnowsWhereAFrameEnds) {
  EXPECT_TRUE(scanner.between_frames());
  const std::string frame = server_frame(kText, std::string(300, 'x'));
  see(frame.substr(0, 1));
  EXPECT_FALSE(scanner.between_frames());
  see(frame.substr(1, 200));
  EXPECT_FALSE(scanner.between_frames());
  see(frame.substr(201) + server_frame(kPing, ""));
  EXPECT_TRUE(scanner.between_frames());
  EXPECT_EQ(scanner.messages(), 1u);
  EXPECT_EQ(scanner.data_bytes(), 300u);
}

TEST_P(FrameScannerTest, CountsMessagesAndNotFragments) {
  see(server_frame(kText, "a", false) + server_frame(kPong, "") + server_frame(kContinues, "b", false));
  EXPECT_EQ(scanner.messages(), 0u);
  see(server_frame(kContinues, "c") + server_frame(kBinary, ""));
  EXPECT_EQ(scanner.messages(), 2u);
  EXPECT_EQ(scanner.data_bytes(), 3u);
}

TEST_P(FrameScannerTest, SeesAFailureAtTheBeginningOfAMessageAlone) {
  see(server_frame(kText, "not {\"error\"") + server_frame(kPing, "failed:") + server_frame(kText, "faile") +
      server_frame(kText, "d: no"));
  EXPECT_FALSE(scanner.failure_found());
  see(server_frame(kText, "fai", false) + server_frame(kPing, "x") + server_frame(kContinues, "led: yes"));
  EXPECT_TRUE(scanner.failure_found());
}

TEST_P(FrameScannerTest, ReadsTheCloseCodeUnderAMask) {
  EXPECT_EQ(scanner.close_code(), std::nullopt);
  see(client_frame(kClose, close_payload(4001, "why")));
  EXPECT_EQ(scanner.close_code(), 4001);
  FrameScanner without(kLines);
  without.see(client_frame(kClose, ""));
  EXPECT_EQ(without.close_code(), kCloseNoCode);
}

class HeldFramesTest : public FrameScannerTest {
 protected:
  // Feeds, and takes out what there is to be answered.
  void feed(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), GetParam()))) {
      held.feed(bytes.substr(0, GetParam()));
      while (auto control = held.next()) taken += control->payload + ";";
    }
  }
  HeldFrames held;
  std::string taken;
};
INSTANTIATE_TEST_SUITE_P(InPieces, HeldFramesTest, testing::Values(1, 3, 100, 1 << 20));

TEST_P(HeldFramesTest, TakesPingsAndTheCloseOutAndHoldsTheRest) {
  const std::string one = client_frame(kText, std::string(200, 'x'), false),
                    two = client_frame(kContinues, "end"), three = client_frame(kBinary, "cut off here");
  feed(one + client_frame(kPing, "first") + two + client_frame(kPong, "nobody's") + client_frame(kPing, "") +
       client_frame(kClose, "x") + three.substr(0, 9));
  EXPECT_EQ(taken, "first;;x;");
  EXPECT_EQ(held.take(), one + two + three.substr(0, 9));
  EXPECT_EQ(held.size(), 0u);
}

TEST_P(HeldFramesTest, HoldsWhatBreaksTheRulesForTheServerToRefuse) {
  const std::string unmasked = server_frame(kPing, "x"),
                    long_one = client_frame(kPing, std::string(126, 'x'));
  feed(unmasked + long_one);
  EXPECT_EQ(taken, "");
  EXPECT_EQ(held.take(), unmasked + long_one);
}

}  // namespace
}  // namespace cppworker
