// ooba's streaming API, which relays are tested against. The client is Boost.Beast's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kServer = std::string(CPPWORKER_BIN_DIR) + "/stand_in_server";
constexpr char kStream[] = "/api/v1/stream";

struct Client {
  explicit Client(std::uint16_t port, const std::string& protocols = "") : stream(io) {
    stream.next_layer().connect({asio::ip::address_v4::loopback(), port});
    stream.set_option(websocket::stream_base::decorator([protocols](websocket::request_type& request) {
      if (!protocols.empty()) request.set(beast::http::field::sec_websocket_protocol, protocols);
    }));
    stream.handshake(answer, "127.0.0.1", kStream);
  }
  void send(const std::string& text) { stream.write(asio::buffer(text)); }
  // The next message, or an empty text and `error`.
  std::string read() {
    beast::flat_buffer buffer;
    stream.read(buffer, error);
    return beast::buffers_to_string(buffer.data());
  }

  asio::io_context io;
  websocket::stream<asio::ip::tcp::socket> stream;
  websocket::response_type answer;
  beast::error_code error;
};

struct OobaStream : ::testing::Test {
  json seen(const std::string& condition) {
    return get(port, "/stand_in/requests?path=" + std::string(kStream) + "&" + condition)
        .parsed()["requests"];
  }

  Program server{{kServer, "ooba", "--port", "0"},
                 {{"STAND_IN_EVENT_INTERVAL_MS", "1"}, {"STAND_IN_EVENTS", "3"}}};
  const std::uint16_t port = server.wait_for_port();
};

TEST_F(OobaStream, SendsAnEventPerTokenAndThenTheEnd) {
  Client client(port);
  const std::string request = R"({"prompt": "hi", "max_new_tokens": 2})";
  client.send(request);
  EXPECT_EQ(client.read(), R"({"event": "text_stream", "message_num": 0, "text": " token1"})");
  EXPECT_EQ(client.read(), R"({"event": "text_stream", "message_num": 1, "text": " token2"})");
  EXPECT_EQ(client.read(), R"({"event": "stream_end", "message_num": 2})");
  EXPECT_EQ(client.read(), "");
  EXPECT_EQ(client.error, websocket::error::closed);
  EXPECT_EQ(client.stream.reason().code, websocket::close_code::normal);
  const json entry = seen("finished=1").at(0);
  EXPECT_EQ(entry.value("messages", json()), json::array({request}));
  EXPECT_EQ(entry["headers"]["upgrade"], "websocket");
  EXPECT_EQ(entry["outcome"], "answered");
}

TEST_F(OobaStream, MakesAsManyTokensAsItIsSetToWithoutANumber) {
  Client client(port);
  client.send(R"({"prompt": "size:70000"})");
  EXPECT_EQ(json::parse(client.read())["text"], std::string(70000, 'x'));
  client.read();
  client.read();
  EXPECT_EQ(client.read(), R"({"event": "stream_end", "message_num": 3})");
}

TEST_F(OobaStream, ChoosesTheFirstProtocol) {
  EXPECT_EQ(Client(port, "chat.v2, chat").answer[beast::http::field::sec_websocket_protocol], "chat.v2");
  EXPECT_EQ(Client(port).answer.count(beast::http::field::sec_websocket_protocol), 0u);
}

TEST_F(OobaStream, AnswersPingsWhileItHoldsARequest) {
  Client client(port);
  client.send(R"({"prompt": "hold", "max_new_tokens": 0})");
  EXPECT_EQ(seen("held=1").size(), 1u);
  std::string pong;
  client.stream.control_callback([&](websocket::frame_type kind, beast::string_view text) {
    if (kind == websocket::frame_type::pong) pong = std::string(text);
  });
  beast::flat_buffer buffer;
  client.stream.async_read(buffer, [&](beast::error_code error, std::size_t) { client.error = error; });
  client.stream.ping("now");
  while (pong.empty()) client.io.run_one();
  EXPECT_EQ(pong, "now");
  EXPECT_EQ(buffer.size(), 0u);
  post(port, "/stand_in/release", "");
  client.io.run();
  EXPECT_EQ(beast::buffers_to_string(buffer.data()), R"({"event": "stream_end", "message_num": 0})");
}

TEST_F(OobaStream, SeesItsClientLeaveInOrderOrNot) {
  {
    Client client(port);
    client.send(R"({"prompt": "hold"})");
    EXPECT_EQ(seen("held=1").size(), 1u);
    client.stream.close(websocket::close_code::going_away);
  }
  EXPECT_EQ(seen("finished=1").at(0)["outcome"], "gone");
  {
    Client client(port);
    client.send(R"({"prompt": "hold"})");
    EXPECT_EQ(seen("held=1").size(), 2u);
  }
  EXPECT_EQ(seen("finished=2").at(1)["outcome"], "gone");
  EXPECT_EQ(get(port, "/stand_in/requests").parsed()["working"], 0);
}

TEST_F(OobaStream, BreaksOffAsItIsAskedTo) {
  Client client(port);
  client.send(R"({"prompt": "error:break"})");
  EXPECT_THAT(client.read(), HasSubstr("text_stream"));
  EXPECT_EQ(client.read(), "");
  EXPECT_EQ(client.error, asio::error::connection_reset);
  EXPECT_EQ(seen("finished=1").at(0)["outcome"], "broken");
}

TEST_F(OobaStream, ClosesOnAMessageThatIsNoRequest) {
  Client client(port);
  client.send(R"({"max_new_tokens": 2})");
  EXPECT_EQ(client.read(), "");
  EXPECT_EQ(client.stream.reason().code, websocket::close_code::internal_error);
  EXPECT_EQ(seen("finished=1").at(0)["outcome"], "broken");
}

TEST_F(OobaStream, IsNoPageForOthers) {
  EXPECT_THAT(get(port, kStream).text, StartsWith("HTTP/1.0 404 "));
  asio::io_context io;
  asio::ip::tcp::socket socket =
      send(io, port, "GET " + std::string(kStream) + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_THAT(read_all(socket).text, Not(StartsWith("HTTP/1.1 101")));
}

}  // namespace
}  // namespace cppworker::stand_ins
