#include "proxy/websocket_frames.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace cppworker {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr WebSocketMask kMask{0x37, 0xfa, 0x21, 0x3d};  // the RFC's own
constexpr unsigned kFinal = 0x80;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (int value : values) out += static_cast<char>(value);
  return out;
}

// A client's frame made by hand, from its first byte on.
std::string frame(unsigned first, std::string_view payload) {
  std::string out = masked_websocket_frame(WebSocketOpcode::kText, std::array{payload}, kMask);
  out[0] = static_cast<char>(first);
  return out;
}

// What a reader says to the pieces, one after the other, in one line.
std::string transcript(const std::vector<std::string_view>& pieces,
                       FirstMessageLimits limits = {.message_bytes = 1 << 20}) {
  FirstMessageReader reader(limits);
  std::string out;
  using Kind = WebSocketEvent::Kind;
  auto is_end = [](Kind kind) { return kind != Kind::kNeedMore && kind != Kind::kPing; };
  Kind last = Kind::kNeedMore;
  for (std::string_view piece : pieces) {
    reader.feed(piece);
    if (is_end(last)) continue;
    WebSocketEvent event = reader.next();
    for (; event.kind == Kind::kPing; event = reader.next()) out.append("ping ").append(event.text) += "; ";
    last = event.kind;
    if (last == Kind::kClose) out += "close " + std::to_string(event.code) + " " + std::string(event.text);
    if (last == Kind::kError) out += "error " + std::to_string(event.code);
    if (last == Kind::kError && event.text.empty()) out += " without a reason";
    if (last == Kind::kMessage) out += (reader.is_text() ? "text " : "binary ") + reader.take_message();
  }
  if (last == Kind::kNeedMore) out += "more";
  if (last == Kind::kMessage) out += "; rest " + std::string(reader.rest());
  return out;
}

// The answer to the bytes, which must be the same however they are cut in two, and byte by byte.
std::string answer(std::string_view input, FirstMessageLimits limits = {.message_bytes = 1 << 20}) {
  std::string whole = transcript({input}, limits);
  for (std::size_t i = 0; i <= input.size(); ++i)
    EXPECT_EQ(transcript({input.substr(0, i), input.substr(i)}, limits), whole) << "cut at " << i;
  std::vector<std::string_view> single;
  for (std::size_t i = 0; i < input.size(); ++i) single.push_back(input.substr(i, 1));
  EXPECT_EQ(transcript(single, limits), whole) << "byte by byte";
  return whole;
}

const std::string kMaskedHello =
    bytes({0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58});  // RFC 6455 section 5.7

TEST(FirstMessageReaderTest, ReadsTheExampleOfTheRfc) {
  EXPECT_EQ(answer(kMaskedHello), "text Hello; rest ");
}

TEST(FirstMessageReaderTest, LeavesWhatFollowsAsItCame) {
  EXPECT_EQ(answer(kMaskedHello + kMaskedHello + "\x81"), "text Hello; rest " + kMaskedHello + "\x81");
}

TEST(FirstMessageReaderTest, PutsFragmentsTogetherAroundControlFrames) {
  std::string input = frame(0x01, "{\"a\":") + frame(0x89, "now") + frame(0x00, "") + frame(0x8a, "pong") +
                      frame(0x89, "") + frame(0x80, "1}") + "next";
  EXPECT_EQ(answer(input), "ping now; ping ; text {\"a\":1}; rest next");
}

TEST(FirstMessageReaderTest, TellsBinaryFromText) {
  EXPECT_EQ(answer(frame(0x82, "\xff\0"s)), "binary \xff\0; rest "s);
  EXPECT_EQ(answer(frame(0x81, "")), "text ; rest ");
}

TEST(FirstMessageReaderTest, WaitsForTheEndOfTheMessage) {
  EXPECT_EQ(answer(""), "more");
  EXPECT_EQ(answer(kMaskedHello.substr(0, 10)), "more");
  EXPECT_EQ(answer(frame(0x01, "Hello")), "more");
}

TEST(FirstMessageReaderTest, ReadsLengthsOfTwoAndOfEightBytes) {
  for (std::size_t size : {125, 126, 127, 0xffff, 0x10000, 100000}) {
    std::string text(size, 'x');
    text.back() = 'y';
    std::string input = frame(0x81, text) + "rest";
    EXPECT_EQ(transcript({input}), "text " + text + "; rest rest");
    for (std::size_t cut : {1, 2, 3, 4, 5, 9, 10, 13, 14, 15, 77})
      EXPECT_EQ(transcript({input.substr(0, cut), input.substr(cut)}), "text " + text + "; rest rest");
  }
}

TEST(FirstMessageReaderTest, UnmasksFromAnyOffset) {
  std::mt19937 random(1);
  std::string text(1000, '\0');
  for (char& c : text) c = static_cast<char>(random() % 127 + 1);
  EXPECT_EQ(answer(frame(0x81, text)), "text " + text + "; rest ");
}

TEST(FirstMessageReaderTest, HandsTheCloseOfTheClientOver) {
  EXPECT_EQ(answer(frame(0x88, "")), "close 1005 ");
  EXPECT_EQ(answer(frame(0x88, "\x03\xe9gone")), "close 1001 gone");
  EXPECT_EQ(answer(frame(0x01, "Hel") + frame(0x88, "\x0f\xa1")), "close 4001 ");
}

TEST(FirstMessageReaderTest, RefusesAnInvalidClose) {
  EXPECT_EQ(answer(frame(0x88, "\x03")), "error 1002");
  for (int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535})
    EXPECT_EQ(answer(frame(0x88, bytes({code >> 8, code & 0xff}))), "error 1002") << code;
  for (int code : {1000, 1003, 1007, 1014, 3000, 4999})
    EXPECT_EQ(answer(frame(0x88, bytes({code >> 8, code & 0xff}))), "close " + std::to_string(code) + " ");
  EXPECT_EQ(answer(frame(0x88, "\x03\xe8\xff")), "error 1007");
}

TEST(FirstMessageReaderTest, RefusesWhatIsNoFrameOfAClient) {
  EXPECT_EQ(answer(bytes({0x81, 0x05, 'H', 'e', 'l', 'l', 'o'})), "error 1002") << "not masked";
  for (unsigned reserved : {0x40, 0x20, 0x10})
    EXPECT_EQ(answer(frame(kFinal | reserved | 1, "x")), "error 1002") << reserved;
  for (unsigned opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15})
    EXPECT_EQ(answer(frame(kFinal | opcode, "x")), "error 1002") << opcode;
}

TEST(FirstMessageReaderTest, RefusesFragmentsOutOfOrder) {
  EXPECT_EQ(answer(frame(0x80, "x")), "error 1002") << "a continuation first";
  EXPECT_EQ(answer(frame(0x00, "x")), "error 1002");
  EXPECT_EQ(answer(frame(0x01, "x") + frame(0x81, "y")), "error 1002") << "a message in a message";
  EXPECT_EQ(answer(frame(0x01, "x") + frame(0x02, "y")), "error 1002");
}

TEST(FirstMessageReaderTest, RefusesControlFramesThatAreFragmentedOrLong) {
  for (unsigned opcode : {8, 9, 10}) {
    EXPECT_EQ(answer(frame(opcode, "")), "error 1002") << opcode;
    EXPECT_EQ(answer(frame(kFinal | opcode, std::string(126, 'x'))), "error 1002") << opcode;
  }
  EXPECT_EQ(answer(frame(0x89, std::string(125, 'x'))), "ping " + std::string(125, 'x') + "; more");
}

TEST(FirstMessageReaderTest, RefusesLengthsThatNobodyWrites) {
  std::string mask = bytes({1, 2, 3, 4});
  EXPECT_EQ(answer(bytes({0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}) + mask), "error 1002") << "top bit";
  EXPECT_EQ(answer(bytes({0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) + mask), "error 1002") << "16 bits do";
  EXPECT_EQ(answer(bytes({0x81, 0xfe, 0, 125}) + mask), "error 1002") << "7 bits do";
}

TEST(FirstMessageReaderTest, RefusesAMessageOverTheLimitBeforeItComes) {
  FirstMessageLimits limits{.message_bytes = 300};
  EXPECT_EQ(answer(frame(0x81, std::string(300, 'x')), limits), "text " + std::string(300, 'x') + "; rest ");
  EXPECT_EQ(answer(frame(0x81, std::string(301, 'x')).substr(0, 4), limits), "error 1009");
  EXPECT_EQ(answer(bytes({0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), limits),
            "error 1009");
  EXPECT_EQ(answer(frame(0x01, std::string(200, 'x')) + frame(0x80, std::string(101, 'x')), limits),
            "error 1009");
}

TEST(FirstMessageReaderTest, RefusesTextThatIsNotUtf8) {
  EXPECT_EQ(answer(frame(0x81, "\xff")), "error 1007");
  EXPECT_EQ(answer(frame(0x81, "\xe2\x82")), "error 1007") << "a character cut off";
  EXPECT_EQ(answer(frame(0x81, "\xed\xa0\x80")), "error 1007") << "a surrogate";
  EXPECT_EQ(answer(frame(0x01, "\xe2\x82") + frame(0x80, "\xac")), "text \xe2\x82\xac; rest ")
      << "a character across two frames";
}

TEST(FirstMessageReaderTest, RefusesAStreamOfControlFrames) {
  FirstMessageLimits limits{.message_bytes = 10, .control_frames = 2};
  std::string two = frame(0x8a, "") + frame(0x89, "p");
  EXPECT_EQ(answer(two + kMaskedHello, limits), "ping p; text Hello; rest ");
  EXPECT_EQ(answer(two + frame(0x89, "q") + kMaskedHello, limits), "ping p; error 1008");
}

TEST(FirstMessageReaderTest, RepeatsItsEndWhateverComes) {
  FirstMessageReader reader({.message_bytes = 10});
  reader.feed("\x01\x05");
  EXPECT_EQ(reader.next().code, kCloseProtocolError);
  reader.feed(kMaskedHello);
  EXPECT_EQ(reader.next().kind, WebSocketEvent::Kind::kError);
  EXPECT_EQ(reader.next().code, kCloseProtocolError);
}

TEST(WebSocketFrameTest, WritesTheExamplesOfTheRfc) {
  EXPECT_EQ(websocket_frame(WebSocketOpcode::kText, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(websocket_frame(WebSocketOpcode::kPing, "Hello"), "\x89\x05Hello");
  EXPECT_EQ(masked_websocket_frame(WebSocketOpcode::kText, std::array{"Hello"sv}, kMask), kMaskedHello);
  std::string_view pieces[] = {"He", "", "llo"};
  EXPECT_EQ(masked_websocket_frame(WebSocketOpcode::kPong, pieces, kMask), "\x8a" + kMaskedHello.substr(1));
  std::string binary(256, '\x01');
  EXPECT_EQ(websocket_frame(WebSocketOpcode::kBinary, binary), "\x82\x7e\x01\0"s + binary);
  binary.assign(65536, '\x01');
  EXPECT_EQ(websocket_frame(WebSocketOpcode::kBinary, binary), "\x82\x7f\0\0\0\0\0\x01\0\0"s + binary);
}

TEST(WebSocketFrameTest, SpellsLengthsAsShortAsCanBe) {
  auto header = [](std::size_t size) {
    std::string out = websocket_frame(WebSocketOpcode::kText, std::string(size, 'x'));
    return out.substr(0, out.size() - size);
  };
  EXPECT_EQ(header(0), "\x81\0"s);
  EXPECT_EQ(header(125), "\x81\x7d");
  EXPECT_EQ(header(126), "\x81\x7e\0\x7e"s);
  EXPECT_EQ(header(65535), "\x81\x7e\xff\xff");
}

TEST(WebSocketFrameTest, MasksDifferentlyEachTime) {
  std::string_view pieces[] = {"Hello"};
  std::string one = masked_websocket_frame(WebSocketOpcode::kText, pieces);
  std::string two = masked_websocket_frame(WebSocketOpcode::kText, pieces);
  EXPECT_NE(one, two);  // equal once in 4 billion runs
  EXPECT_EQ(transcript({one}), "text Hello; rest ");
  EXPECT_EQ(transcript({two}), "text Hello; rest ");
}

TEST(WebSocketCloseFrameTest, HoldsCodeAndReason) {
  EXPECT_EQ(websocket_close_frame(kCloseTooBig, "too large"), "\x88\x0b\x03\xf1too large");
  EXPECT_EQ(websocket_close_frame(kCloseNormal), "\x88\x02\x03\xe8");
  EXPECT_EQ(websocket_close_frame(kCloseNoCode, "unsaid"), "\x88\0"s);
}

TEST(WebSocketCloseFrameTest, CutsALongReasonBetweenTwoCharacters) {
  EXPECT_EQ(websocket_close_frame(kCloseNormal, std::string(123, 'x')),
            "\x88\x7d\x03\xe8" + std::string(123, 'x'));
  EXPECT_EQ(websocket_close_frame(kCloseNormal, std::string(200, 'x')),
            "\x88\x7d\x03\xe8" + std::string(123, 'x'));
  std::string euros;  // three bytes each: with an x before them, 40 fit whole
  for (int i = 0; i < 50; ++i) euros += "\xe2\x82\xac";
  EXPECT_EQ(websocket_close_frame(kCloseNormal, "x" + euros), "\x88\x7b\x03\xe8x" + euros.substr(0, 120));
}

}  // namespace
}  // namespace cppworker
