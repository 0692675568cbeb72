// What an operator finds of a request afterwards: a line, and its status among the metrics.
#include "proxy/access_log.hpp"

#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/proxy/proxy_fixture.hpp"
#include "tests/proxy/websocket_wire.hpp"

namespace cppworker {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class AccessLogTest : public SignedProxyTest {
 protected:
  AccessLogTest() {
    setup_.access_log = [this](const std::string& line) {
      std::lock_guard lock(mutex_);
      lines_.push_back(line);
    };
  }
  // All lines since the last call, once nothing is under way any more.
  std::vector<std::string> lines() {
    proxy().settle();
    std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }
  json only_line() {
    const std::vector<std::string> all = lines();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? json::object() : json::parse(all.front());
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST_F(AccessLogTest, HasALineForEachRequestAndNothingOfItsContents) {
  const Route route = next_route();
  std::string request = generate(route, R"({"work": 3, "inputs": "a secret prompt"})");
  request.replace(request.find("/generate"), 9, "/generate?api_key=a-secret-key");
  request.insert(request.find("\r\n") + 2,
                 "X-Request-Id: mine-1\r\nAuthorization: Bearer another-secret\r\n");
  Exchange call = begin(request);
  EXPECT_TRUE(lines().empty()) << "it goes on";
  call.server.answer(200, "an answer");
  const RawMessage answer = call.client.read_response();
  const std::vector<std::string> all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_THAT(all[0], Not(HasSubstr("secret")));
  EXPECT_THAT(all[0], Not(HasSubstr("an answer")));
  EXPECT_THAT(all[0], Not(HasSubstr(signature_of(route).substr(0, 20))));
  const json line = json::parse(all[0]);
  EXPECT_THAT(line["time"].get<std::string>(),
              MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z"));
  EXPECT_EQ(line["request_id"], "mine-1");
  EXPECT_EQ(line["client"], "127.0.0.1");
  EXPECT_EQ(line["method"], "POST");
  EXPECT_EQ(line["path"], "/generate");
  EXPECT_EQ(line["status"], 200);
  EXPECT_GT(line["bytes"].get<int>(), static_cast<int>(answer.body.size()));
  EXPECT_GE(line["seconds"].get<double>(), line["first_byte_s"].get<double>());
  EXPECT_EQ(line["outcome"], "served");
}

TEST_F(AccessLogTest, SaysOfEachRequestHowItEnded) {
  RawClient client = connect();
  client.exchange(get_request("/nowhere"));
  json line = only_line();
  EXPECT_EQ(line["status"], 404);
  EXPECT_EQ(line["path"], "/nowhere");
  EXPECT_EQ(line["outcome"], "refused");
  EXPECT_NE(line["request_id"], "");

  client.exchange(get_request("/ping"));
  line = only_line();
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["outcome"], "served");

  Exchange failed = begin(generate());
  failed.server.answer(500, "no", "Connection: close\r\n");
  failed.client.read_response();
  line = only_line();
  EXPECT_EQ(line["status"], 500);
  EXPECT_EQ(line["outcome"], "errored");

  Exchange closed = begin(generate());
  closed.server.close();
  EXPECT_EQ(closed.client.read_response().status(), 502);
  line = only_line();
  EXPECT_EQ(line["status"], 502);
  EXPECT_EQ(line["outcome"], "errored");

  RawClient odd = connect();
  odd.send("GET /\x01 HTTP/1.1\r\n\r\n");
  EXPECT_EQ(odd.read_response().status(), 400);
  odd.close();  // what follows on a refusal is read, and thrown away, until then
  line = only_line();
  EXPECT_EQ(line["status"], 400);
  EXPECT_FALSE(line.contains("path")) << "it can't be told";
}

// Protocol section 3: the status is for logs and metrics alone.
TEST_F(AccessLogTest, CallsAClientThatWentAway499InEveryPhase) {
  Exchange waits = begin(generate());
  waits.client.reset();
  EXPECT_NE(waits.server.wait_for_end(), End::kOpen);
  json line = only_line();
  EXPECT_EQ(line["status"], 499);
  EXPECT_EQ(line["outcome"], "cancelled");

  Exchange streams = begin(generate());
  streams.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(streams.client);
  streams.client.reset();
  EXPECT_NE(streams.server.wait_for_end(), End::kOpen);
  line = only_line();
  EXPECT_EQ(line["status"], 499);
  EXPECT_TRUE(line.contains("first_byte_s"));

  RawClient sends = connect();
  sends.send("POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
  proxy().settle();
  sends.reset();
  EXPECT_EQ(only_line()["status"], 499);
  EXPECT_EQ(proxy().counted(Counter::kAnswered499), 3u);
  EXPECT_EQ(proxy().counted(Counter::kAnswered2xx), 0u);
}

TEST_F(AccessLogTest, AConnectionThatEndsIdleIsNoRequest) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  EXPECT_EQ(lines().size(), 1u);
  client.close();
  connect().close();
  EXPECT_TRUE(lines().empty());
}

TEST_F(AccessLogTest, CountsAnswersByTheClassOfTheirStatusAlsoWithoutALog) {
  setup_.access_log = {};
  RawClient client = connect();
  client.exchange(get_request("/ping"));
  client.exchange(get_request("/nowhere"));
  client.exchange(post_request("/generate", "{"));
  for (int status : {204, 302, 503}) {
    Exchange call = begin(generate());
    call.server.answer(status, "", "Connection: close\r\n");
    call.client.read_response();
  }
  EXPECT_EQ(proxy().counted(Counter::kAnswered2xx), 2u);
  EXPECT_EQ(proxy().counted(Counter::kAnswered3xx), 1u);
  EXPECT_EQ(proxy().counted(Counter::kAnswered4xx), 2u);
  EXPECT_EQ(proxy().counted(Counter::kAnswered5xx), 1u);
}

TEST_F(AccessLogTest, AWebSocketIsOneRequest) {
  endpoint("GET", "/open-stream").websocket = true;
  endpoint("GET", "/open-stream").auth = EndpointDefinition::Auth::kNone;
  RawClient client = connect();
  client.send(upgrade_request("/open-stream"));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.answer(404, "none here", "Connection: close\r\n");
  EXPECT_EQ(client.read_response().status(), 404);
  json line = only_line();
  EXPECT_EQ(line["status"], 404);
  EXPECT_EQ(line["path"], "/open-stream");
}

}  // namespace
}  // namespace cppworker
