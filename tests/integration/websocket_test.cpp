// ooba's streaming API through a whole worker: a WebSocket on a port of its own, relayed under the worker's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/websocket.hpp>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using nlohmann::json;

// Boost.Beast's client: the proxy has to suit somebody else's idea of the protocol.
class StreamClient {
 public:
  StreamClient(std::uint16_t port, const std::string& target) : stream_(io_) {
    stream_.next_layer().connect({asio::ip::address_v4::loopback(), port});
    stream_.handshake(answer_, "worker", target, error_);
  }
  int status() const { return static_cast<int>(answer_.result_int()); }
  void send(const json& message) { stream_.write(asio::buffer(message.dump())); }
  // The next message, null at the end.
  json read() {
    beast::flat_buffer buffer;
    stream_.read(buffer, error_);
    return error_ ? json() : json::parse(beast::buffers_to_string(buffer.data()));
  }
  int close_code() const { return stream_.reason().code; }

 private:
  asio::io_context io_;
  websocket::stream<asio::ip::tcp::socket> stream_;
  websocket::response_type answer_;
  boost::system::error_code error_;
};

std::string query_of(const json& route) {
  std::string query;
  for (const auto& [name, value] : route.items()) {
    if (name == "request_idx") continue;
    query += (query.empty() ? "?" : "&") + name + "=";
    for (unsigned char c : value.is_string() ? value.get<std::string>() : value.dump()) {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", c);
      query += escaped;
    }
  }
  return query;
}

TEST(WebSocketWorkerTest, StreamsSignedRequestsOfBothKindsAndBooksThem) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "ooba", {{"STAND_IN_EVENT_INTERVAL_MS", "1"}});
  ASSERT_FALSE(
      autoscaler.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; })
          .is_null())
      << worker.process().output();
  while (get(worker.port(), "/api/v1/model").status == 503) {
  }

  json route = autoscaler.route();
  {
    StreamClient client(worker.port(), "/api/v1/stream");
    ASSERT_EQ(client.status(), 101);
    client.send({{"auth_data", route}, {"payload", {{"prompt", "Once"}, {"max_new_tokens", 3}}}});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(client.read()["message_num"], i);
    EXPECT_EQ(client.read()["event"], "stream_end");
    EXPECT_EQ(client.read(), json());
    EXPECT_EQ(client.close_code(), 1000);
  }
  json seen = get(worker.server_port(), "/stand_in/requests?path=/api/v1/stream&finished=1").json();
  EXPECT_EQ(seen["requests"][0]["messages"][0], R"({"max_new_tokens":3,"prompt":"Once"})");
  EXPECT_EQ(seen["requests"][0]["headers"]["host"], "127.0.0.1:" + std::to_string(worker.server_port() + 1));
  {
    StreamClient client(worker.port(), "/api/v1/chat-stream" + query_of(autoscaler.route()));
    ASSERT_EQ(client.status(), 101);
    client.send({{"user_input", "Well?"}, {"max_new_tokens", 1}});
    EXPECT_EQ(client.read()["history"]["visible"][0][0], "Well?");
    EXPECT_EQ(client.read()["event"], "stream_end");
  }
  StreamClient replayed(worker.port(), "/api/v1/stream");
  replayed.send({{"auth_data", route}, {"payload", {{"prompt", "Once"}}}});
  EXPECT_EQ(replayed.read(), json());
  EXPECT_EQ(replayed.close_code(), 1008);
  EXPECT_EQ(StreamClient(worker.port(), "/api/v1/stream?signature=x").status(), 422);

  json idx = route["request_idx"];
  json done = autoscaler.wait_for_delete([&](const json& one) {
    return one["success"] == true && std::find(one["request_idxs"].begin(), one["request_idxs"].end(), idx) !=
                                         one["request_idxs"].end();
  });
  EXPECT_FALSE(done.is_null()) << "served, and reported as such";
}

TEST(WebSocketWorkerTest, TellsTheServerWhenItsClientLeaves) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "ooba");
  ASSERT_FALSE(
      autoscaler.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; })
          .is_null());
  while (get(worker.port(), "/api/v1/model").status == 503) {
  }
  {
    StreamClient client(worker.port(), "/api/v1/stream");
    client.send({{"auth_data", autoscaler.route()}, {"payload", {{"prompt", "hold"}}}});
    EXPECT_EQ(get(worker.server_port(), "/stand_in/requests?held=1").json()["held"], 1);
  }
  json seen = get(worker.server_port(), "/stand_in/requests?path=/api/v1/stream&finished=1").json();
  EXPECT_EQ(seen["requests"][0]["outcome"], "gone");
}

}  // namespace
}  // namespace cppworker::testing
