#include "proxy/websocket_handshake.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/proxy/written_head.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// RFC 6455 section 1.3.
constexpr const char* kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr const char* kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

WrittenHead client() {
  WrittenHead head;
  head.method(http::verb::get);
  head.target("/api/v1/stream?api_key=secret&a=1");
  head.version(11);
  head.set(http::field::host, "203.0.113.9:41234");
  head.set(http::field::upgrade, "websocket");
  head.set(http::field::connection, "Upgrade");
  head.set(http::field::sec_websocket_key, kKey);
  head.set(http::field::sec_websocket_version, "13");
  return head;
}

// 101 when it passes.
int status_after(const std::function<void(WrittenHead&)>& change) {
  WrittenHead head = client();
  change(head);
  auto checked = check_client_upgrade(read(head));
  return checked ? 101 : checked.error().status;
}

TEST(ClientUpgradeTest, AcceptsTheExampleOfTheRfc) {
  auto checked = check_client_upgrade(read(client()));
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->accept, kAccept);
  EXPECT_THAT(checked->protocols, ElementsAre());
}

TEST(ClientUpgradeTest, TakesHeadersAsListsInAnyCase) {
  EXPECT_EQ(status_after([](auto& head) {
              head.set(http::field::connection, "keep-alive, upgrade");
              head.set(http::field::upgrade, "WebSocket");
            }),
            101);
  EXPECT_EQ(status_after([](auto& head) {
              head.set(http::field::connection, "keep-alive");
              head.insert(http::field::connection, "UPGRADE");
            }),
            101);
}

TEST(ClientUpgradeTest, RefusesWhatIsNoHandshake) {
  EXPECT_EQ(status_after([](auto& head) { head.method(http::verb::post); }), 405);
  EXPECT_EQ(status_after([](auto& head) { head.version(10); }), 426);
  EXPECT_EQ(status_after([](auto& head) { head.erase(http::field::upgrade); }), 426);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::upgrade, "h2c"); }), 426);
  EXPECT_EQ(status_after([](auto& head) { head.erase(http::field::connection); }), 400);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::connection, "keep-alive"); }), 400);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::content_length, "5"); }), 400);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::content_length, "0"); }), 101);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::transfer_encoding, "chunked"); }), 400);
}

TEST(ClientUpgradeTest, RefusesAnotherVersion) {
  EXPECT_EQ(status_after([](auto& head) { head.erase(http::field::sec_websocket_version); }), 426);
  EXPECT_EQ(status_after([](auto& head) { head.set(http::field::sec_websocket_version, "8"); }), 426);
  EXPECT_EQ(status_after([](auto& head) { head.insert(http::field::sec_websocket_version, "8"); }), 426);
}

TEST(ClientUpgradeTest, RefusesAKeyThatIsNotSixteenBytes) {
  auto with_key = [](const char* key) {
    return status_after([key](auto& head) { head.set(http::field::sec_websocket_key, key); });
  };
  EXPECT_EQ(status_after([](auto& head) { head.erase(http::field::sec_websocket_key); }), 400);
  EXPECT_EQ(status_after([](auto& head) { head.insert(http::field::sec_websocket_key, kKey); }), 400);
  EXPECT_EQ(with_key(""), 400);
  EXPECT_EQ(with_key("dGhlIHNhbXBsZSBub25j"), 400);      // 15
  EXPECT_EQ(with_key("dGhlIHNhbXBsZSBub25jZXg="), 400);  // 17
  EXPECT_EQ(with_key("dGhlIHNhbXBsZSBub25jZQ"), 400);
  EXPECT_EQ(with_key("dGhlIHNhbXBsZSBub25jZQ=!"), 400);
}

TEST(ClientUpgradeTest, ListsTheProtocolsInOrder) {
  WrittenHead head = client();
  head.set(http::field::sec_websocket_protocol, "chat.v2, chat");
  head.insert(http::field::sec_websocket_protocol, "plain");
  auto checked = check_client_upgrade(read(head));
  ASSERT_TRUE(checked);
  EXPECT_THAT(checked->protocols, ElementsAre("chat.v2", "chat", "plain"));
}

TEST(ClientUpgradeTest, RefusesProtocolsThatAreNoNames) {
  auto with_protocols = [](const std::string& list) {
    return status_after([&](auto& head) { head.set(http::field::sec_websocket_protocol, list); });
  };
  EXPECT_EQ(with_protocols("a/b"), 400);
  EXPECT_EQ(with_protocols("a b"), 400);
  EXPECT_EQ(with_protocols("a, b, a"), 400);
  std::string sixteen = "p0";
  for (int i = 1; i < 16; ++i) sixteen += ", p" + std::to_string(i);
  EXPECT_EQ(with_protocols(sixteen), 101);
  EXPECT_EQ(with_protocols(sixteen + ", p16"), 400);
}

TEST(UpgradeResponseTest, IsTheOneOfTheRfc) {
  EXPECT_EQ(upgrade_response(kAccept, "", "id-1"),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Request-Id: id-1\r\n\r\n");
  EXPECT_THAT(upgrade_response(kAccept, "chat", "id-1"), HasSubstr("\r\nSec-WebSocket-Protocol: chat\r\n"));
}

TEST(UpgradeRefusalTest, SaysWhichVersionWouldDo) {
  std::string out = upgrade_refusal_response({426, "proxy: other"}, true, "id-1");
  EXPECT_THAT(out, StartsWith("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"));
  EXPECT_THAT(out, EndsWith("\r\n\r\n{\"error\":\"proxy: other\"}"));
  EXPECT_THAT(upgrade_refusal_response({405, "x"}, true, "id-1"), HasSubstr("\r\nAllow: GET\r\n"));
  EXPECT_THAT(upgrade_refusal_response({400, "x"}, true, "id-1"), Not(HasSubstr("Upgrade")));
}

TEST(WebSocketKeyTest, IsFreshAndOfTheRightSize) {
  std::string key = random_websocket_key();
  EXPECT_NE(key, random_websocket_key());
  WrittenHead head = client();
  head.set(http::field::sec_websocket_key, key);
  auto checked = check_client_upgrade(read(head));
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->accept, websocket_accept(key));
}

const std::vector<std::string> kOffered{"chat", "plain"};
const UpstreamUpgrade kUpgrade{"127.0.0.1:5001", "id-1", "/api/v1/stream?a=1", kKey, kOffered};

TEST(UpstreamUpgradeTest, AsksInItsOwnNameWithoutExtensions) {
  WrittenHead head = client();
  head.set(http::field::sec_websocket_key, "AAAAAAAAAAAAAAAAAAAAAA==");
  head.set(http::field::sec_websocket_extensions, "permessage-deflate; client_max_window_bits");
  head.set(http::field::sec_websocket_protocol, "chat, plain, secret");
  head.set(http::field::authorization, "Bearer secret");
  head.set(http::field::connection, "keep-alive, Upgrade, X-Private");
  head.set("X-Private", "hop");
  head.set("traceparent", "00-1-2-01");
  EXPECT_EQ(upstream_upgrade_head(read(head), kUpgrade),
            "GET /api/v1/stream?a=1 HTTP/1.1\r\nHost: 127.0.0.1:5001\r\ntraceparent: 00-1-2-01\r\n"
            "X-Request-Id: id-1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, plain\r\n\r\n");
}

TEST(UpstreamUpgradeTest, NamesNoProtocolWhenThereIsNone) {
  UpstreamUpgrade upgrade = kUpgrade;
  upgrade.protocols = {};
  upgrade.target = "/s?api_key=secret";
  std::string out = upstream_upgrade_head(read(client()), upgrade);
  EXPECT_THAT(out, StartsWith("GET /s HTTP/1.1\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("Protocol")));
  EXPECT_THAT(out, EndsWith("ZQ==\r\n\r\n"));
}

ResponseHead upstream() {
  ResponseHead head;
  head.version(11);
  head.result(101);
  head.set(http::field::upgrade, "WebSocket");
  head.set(http::field::connection, "upgrade");
  head.set(http::field::sec_websocket_accept, kAccept);
  return head;
}

std::string cause_after(const std::function<void(ResponseHead&)>& change) {
  ResponseHead head = upstream();
  change(head);
  auto checked = check_upstream_upgrade(head, kUpgrade);
  if (checked) return "chose " + *checked;
  const std::string& message = checked.error().message;
  return message.substr(message.rfind(": ") + 2);
}

TEST(UpstreamUpgradeTest, AcceptsTheRightAnswer) {
  EXPECT_EQ(cause_after([](auto&) {}), "chose ");
  EXPECT_EQ(cause_after([](auto& head) { head.set(http::field::sec_websocket_protocol, "plain"); }),
            "chose plain");
}

TEST(UpstreamUpgradeTest, RefusesAnAnswerThatIsNone) {
  EXPECT_EQ(cause_after([](auto& head) { head.result(404); }), "it answered with status 404");
  for (http::field name : {http::field::upgrade, http::field::connection})
    EXPECT_EQ(cause_after([&](auto& head) { head.erase(name); }), "its answer doesn't name the upgrade");
  const std::string wrong_accept = "its Sec-WebSocket-Accept is wrong";
  EXPECT_EQ(cause_after([](auto& head) { head.erase(http::field::sec_websocket_accept); }), wrong_accept);
  EXPECT_EQ(cause_after([](auto& head) { head.set(http::field::sec_websocket_accept, kKey); }), wrong_accept);
  EXPECT_EQ(cause_after([](auto& head) { head.insert(http::field::sec_websocket_accept, kAccept); }),
            wrong_accept);
  EXPECT_EQ(
      cause_after([](auto& head) { head.set(http::field::sec_websocket_extensions, "permessage-deflate"); }),
      "it uses an extension that wasn't offered");
  for (const char* protocol : {"other", "", "chat, plain"})
    EXPECT_EQ(cause_after([&](auto& head) { head.set(http::field::sec_websocket_protocol, protocol); }),
              "it chose a protocol that wasn't offered");
}

}  // namespace
}  // namespace cppworker
