// Such a request (smuggling_shapes.hpp) is refused, its connection is closed, and no byte of it, nor of what
// follows it, reaches the inference server: not as this request, and not as the next one.
#include "tests/proxy/smuggling_shapes.hpp"

namespace cppworker {
namespace {

using namespace std::string_literals;
using testing::AnyOf;
using testing::Values;

TEST_P(SmugglingTest, IsRefused) {
  RawClient client = connect();
  client.send(GetParam().bytes + get_request("/health", "X-Smuggled: 1\r\n"));
  proxy().settle();
  if (server_.is_called()) {
    UpstreamConnectionInTest server = server_.accept();
    FAIL() << "the server got:\n" << visible(server.read_now());
  }
  ASSERT_FALSE(client.is_silent()) << "the proxy waits for more";
  RawMessage response = client.read_response();
  EXPECT_THAT(response.status(), AnyOf(400, 501, 505));
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

INSTANTIATE_TEST_SUITE_P(
    ContentLength, SmugglingTest,
    Values(Shape{"TwoThatDiffer", open_with("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")},
           Shape{"ListThatDiffers", open_with("Content-Length: 5, 6\r\n", "hello")},
           Shape{"Negative", open_with("Content-Length: -5\r\n", "hello")},
           Shape{"WithPlus", open_with("Content-Length: +5\r\n", "hello")},
           Shape{"Hexadecimal", open_with("Content-Length: 0x5\r\n", "hello")},
           Shape{"TwoWords", open_with("Content-Length: 5 5\r\n", "hello")},
           Shape{"Fraction", open_with("Content-Length: 5.0\r\n", "hello")},
           Shape{"Empty", open_with("Content-Length: \r\n", "hello")},
           Shape{"EmptyInList", open_with("Content-Length: 5,,5\r\n", "hello")},
           Shape{"TrailingComma", open_with("Content-Length: 5,\r\n", "hello")},
           Shape{"PastSixtyFourBits", open_with("Content-Length: 18446744073709551621\r\n", "hello")}),
    name_of_shape);

const std::string kChunks = "5\r\nhello\r\n0\r\n\r\n";

INSTANTIATE_TEST_SUITE_P(
    TransferEncoding, SmugglingTest,
    Values(Shape{"AfterContentLength",
                 open_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", kChunks)},
           Shape{"BeforeContentLength",
                 open_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", kChunks)},
           Shape{"Unknown", open_with("Transfer-Encoding: xchunked\r\n", kChunks)},
           Shape{"UnknownWithContentLength",
                 open_with("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", "hello")},
           Shape{"Identity", open_with("Transfer-Encoding: identity\r\n", kChunks)},
           Shape{"Gzip", open_with("Transfer-Encoding: gzip\r\n", kChunks)},
           Shape{"GzipThenChunked", open_with("Transfer-Encoding: gzip, chunked\r\n", kChunks)},
           Shape{"ChunkedThenIdentity", open_with("Transfer-Encoding: chunked, identity\r\n", kChunks)},
           Shape{"ChunkedTwice", open_with("Transfer-Encoding: chunked, chunked\r\n", kChunks)},
           Shape{"TwoHeaders",
                 open_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", kChunks)},
           Shape{"TwoHeadersThatDiffer",
                 open_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", kChunks)},
           Shape{"TwoHeadersThatDifferTheOtherWay",
                 open_with("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", kChunks)},
           Shape{"Empty", open_with("Transfer-Encoding: \r\n", kChunks)},
           Shape{"Quoted", open_with("Transfer-Encoding: \"chunked\"\r\n", kChunks)},
           Shape{"VerticalTab", open_with("Transfer-Encoding: \vchunked\r\n", kChunks)},
           Shape{"WithParameter", open_with("Transfer-Encoding: chunked;a=b\r\n", kChunks)},
           Shape{"Folded", open_with("Transfer-Encoding:\r\n chunked\r\n", kChunks)},
           Shape{"SpaceBeforeColon", open_with("Transfer-Encoding : chunked\r\n", kChunks)},
           Shape{"InHttp10",
                 "POST /open HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + kChunks}),
    name_of_shape);

INSTANTIATE_TEST_SUITE_P(
    Chunks, SmugglingTest,
    Values(Shape{"SizeNotANumber", chunked_with("zz\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeMissing", chunked_with("\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeNegative", chunked_with("-5\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeWithPlus", chunked_with("+5\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeWithPrefix", chunked_with("0x5\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeAfterBlank", chunked_with(" 5\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeWithGroups", chunked_with("0_5\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizePastSixtyFourBits", chunked_with("10000000000000005\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeOfManyDigits", chunked_with("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF05\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeThenRubbish", chunked_with("5hello\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeThenBlankAndRubbish", chunked_with("5 x\r\nhello\r\n0\r\n\r\n")},
           Shape{"SizeEndsWithBareLf", chunked_with("5\nhello\r\n0\r\n\r\n")},
           Shape{"SizeEndsWithBareCr", chunked_with("5\rXhello\r\n0\r\n\r\n")},
           Shape{"ExtensionWithBareLf", chunked_with("5;a\nhello\r\n0\r\n\r\n")},
           Shape{"DataTooLong", chunked_with("5\r\nhelloXX\r\n0\r\n\r\n")},
           Shape{"DataEndsWithBareLf", chunked_with("5\r\nhello\n0\r\n\r\n")},
           Shape{"DataEndsWithTwoBytes", chunked_with("5\r\nhelloXX0\r\n\r\n")},
           Shape{"LastEndsWithBareLf", chunked_with("5\r\nhello\r\n0\n\n")},
           Shape{"TrailerIsContentLength", chunked_with("5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n")},
           Shape{"TrailerIsTransferEncoding",
                 chunked_with("5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")},
           Shape{"TrailerIsHost", chunked_with("5\r\nhello\r\n0\r\nHost: other\r\n\r\n")},
           Shape{"TrailerFolded", chunked_with("5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n")},
           Shape{"TrailerFoldedWithTab", chunked_with("5\r\nhello\r\n0\r\nX: 1\r\n\t2\r\n\r\n")},
           Shape{"TrailerBeginsFolded", chunked_with("5\r\nhello\r\n0;a=b\r\n X: 1\r\n\r\n")},
           Shape{"TrailerWithBareCr", chunked_with("5\r\nhello\r\n0\r\nX: 1\rY: 2\r\n\r\n")},
           Shape{"TrailerWithBlankBeforeColon", chunked_with("5\r\nhello\r\n0\r\nX : 1\r\n\r\n")},
           Shape{"TrailerWithoutColon", chunked_with("5\r\nhello\r\n0\r\nrubbish\r\n\r\n")}),
    name_of_shape);

INSTANTIATE_TEST_SUITE_P(Lines, SmugglingTest,
                         Values(Shape{"RequestLineEndsWithBareLf", "GET /health HTTP/1.1\nHost: h\r\n\r\n"},
                                Shape{"AllEndWithBareLf", "GET /health HTTP/1.1\nHost: h\n\n"},
                                Shape{"HeaderEndsWithBareLf", health_with("X: 1\nY: 2\r\n")},
                                Shape{"HeadEndsWithBareLf", "GET /health HTTP/1.1\r\nHost: h\r\n\n"},
                                Shape{"HeaderEndsWithBareCr", health_with("X: 1\rY: 2\r\n")},
                                Shape{"CrBeforeCrLf", health_with("X: 1\r\r\n")},
                                Shape{"RequestLineWithBareCr", "GET /health\r HTTP/1.1\r\nHost: h\r\n\r\n"}),
                         name_of_shape);

INSTANTIATE_TEST_SUITE_P(Headers, SmugglingTest,
                         Values(Shape{"Folded", health_with("X: 1\r\n 2\r\n")},
                                Shape{"FoldedWithTab", health_with("X: 1\r\n\t2\r\n")},
                                Shape{"BlankBeforeFirst", "GET /health HTTP/1.1\r\n Host: h\r\n\r\n"},
                                Shape{"BlankBeforeColon", health_with("X : 1\r\n")},
                                Shape{"TabBeforeColon", health_with("X\t: 1\r\n")},
                                Shape{"BlankInName", health_with("X Y: 1\r\n")},
                                Shape{"NoName", health_with(": 1\r\n")},
                                Shape{"NoColon", health_with("X\r\n")},
                                Shape{"NulInValue", health_with("X: a\0b\r\n"s)},
                                Shape{"NulInName", health_with("X\0Y: 1\r\n"s)},
                                Shape{"ControlInValue", health_with("X: a\x01z\r\n")},
                                Shape{"DeleteInValue", health_with("X: a\x7fz\r\n")},
                                Shape{"HighByteInName", health_with("X\xc3\xa9: 1\r\n")},
                                Shape{"BracketInName", health_with("X[1]: 1\r\n")}),
                         name_of_shape);

INSTANTIATE_TEST_SUITE_P(Host, SmugglingTest,
                         Values(Shape{"Missing", "GET /health HTTP/1.1\r\n\r\n"},
                                Shape{"Twice", health_with("Host: h\r\n")},
                                Shape{"TwiceAndDifferent", health_with("Host: g\r\n")},
                                Shape{"WithBlank", "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n"},
                                Shape{"List", "GET /health HTTP/1.1\r\nHost: a,b\r\n\r\n"},
                                Shape{"WithPath", "GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n"}),
                         name_of_shape);

INSTANTIATE_TEST_SUITE_P(RequestLine, SmugglingTest,
                         Values(Shape{"Http09", "GET /health\r\n"},
                                Shape{"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
                                Shape{"Http12", "GET /health HTTP/1.2\r\nHost: h\r\n\r\n"},
                                Shape{"Http3", "GET /health HTTP/3.0\r\nHost: h\r\n\r\n"},
                                Shape{"LongVersion", "GET /health HTTP/1.10\r\nHost: h\r\n\r\n"},
                                Shape{"SmallVersion", "GET /health http/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"TwoBlanks", "GET  /health HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"TwoBlanksBeforeVersion", "GET /health  HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"TrailingBlank", "GET /health HTTP/1.1 \r\nHost: h\r\n\r\n"},
                                Shape{"LeadingBlank", " GET /health HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"Tabs", "GET\t/health\tHTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"BlankInTarget", "GET /health /x HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"NulInTarget", "GET /health\0 HTTP/1.1\r\nHost: h\r\n\r\n"s},
                                Shape{"ControlInTarget", "GET /health?\x01 HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"HighByteInTarget", "GET /health?\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"FragmentInTarget", "GET /health?a#b HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"NoTarget", "GET HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"MethodIsNoToken", "G@T /health HTTP/1.1\r\nHost: h\r\n\r\n"},
                                Shape{"TlsHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s}),
                         name_of_shape);

// ---- requests that are whole, and whose target is none of ours

class OddTargetTest : public ProxyTest, public testing::WithParamInterface<Shape> {};

TEST_P(OddTargetTest, IsNotForwarded) {
  RawClient client = connect();
  RawMessage response = client.exchange(GetParam().bytes);
  EXPECT_THAT(response.status(), AnyOf(400, 404, 405, 501));
  expect_server_not_called();
}

using AbsoluteTargetTest = SignedProxyTest;

// Its path finds the endpoint, and alone goes on to the server; its scheme and host are for nobody.
TEST_F(AbsoluteTargetTest, IsServedAsItsPath) {
  Exchange plain =
      begin("GET http://203.0.113.5:41234/health?a=1 HTTP/1.1\r\nHost: 203.0.113.5:41234\r\n\r\n");
  EXPECT_EQ(plain.request.start_line, "GET /health?a=1 HTTP/1.1");
  EXPECT_EQ(plain.request.header("Host"), server_.authority());
  std::string request = generate();
  request.replace(request.find("/generate"), 9, "https://h/generate");
  request.replace(request.find("Host: "),
                  request.find("\r\n", request.find("Host: ")) - request.find("Host: "), "Host: h");
  EXPECT_EQ(begin(request).request.start_line, "POST /generate HTTP/1.1");
  EXPECT_EQ(connect().exchange("GET http://h/ping HTTP/1.1\r\nHost: h\r\n\r\n").body, "pong");
  EXPECT_EQ(connect().exchange("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").status(), 404);
}

INSTANTIATE_TEST_SUITE_P(
    , OddTargetTest,
    Values(Shape{"AbsoluteToElsewhere", "GET http://other.example/health HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"Asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"Authority", "CONNECT 127.0.0.1:5001 HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n\r\n"},
           Shape{"DoubleSlash", "GET //health HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"DotSegment", "GET /x/../health HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"EncodedDotSegment", "GET /health/%2e%2e/generate HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"EncodedLetter", "GET /%68ealth HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"Semicolon", "GET /health;a=b HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"Backslash", "GET \\health HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"Trace", "TRACE /health HTTP/1.1\r\nHost: h\r\n\r\n"},
           Shape{"SmallMethod", "get /health HTTP/1.1\r\nHost: h\r\n\r\n"}),
    name_of_shape);

}  // namespace
}  // namespace cppworker
