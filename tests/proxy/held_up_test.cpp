// Nobody is held up by somebody else: not by a client that reads its answer slowly, nor by a large body that
// takes long to check.
#include <future>
#include <boost/asio/post.hpp>

#include "proxy/body_check.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class HeldUpTest : public SignedProxyTest {};

// ---- slow readers

// A serial server stood idle for as long as its last client took to read an image.
TEST_F(HeldUpTest, AClientThatDoesNotReadDoesNotKeepAServerFromTheNext) {
  setup_.backend.max_concurrency = 1;
  std::string image(8 << 20, 'i');
  Exchange slow = begin(generate());
  RawClient next = connect();
  next.send(generate());
  proxy().settle();
  slow.server.answer(200, image);
  EXPECT_EQ(slow.server.read_request().target(), "/generate") << "over the same connection";
  slow.server.answer(200, "ok");
  EXPECT_EQ(next.read_response().body, "ok");
  EXPECT_EQ(proxy().core().bodies.used(), image.size());
  EXPECT_EQ(slow.client.read_response().body, image);
  proxy().settle();
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

struct Unmeasured {
  const char* name;
  std::string headers, begin, end;  // of an answer of 8 MiB
};
std::vector<Unmeasured> unmeasured_images(const std::string& image) {
  return {{"chunked", "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n",
           chunk(image.substr(0, 1000)) + chunk(image.substr(1000)), std::string(kLastChunk)},
          {"until the end", "Content-Type: application/octet-stream\r\n", image, ""}};
}

// As a server answers that compresses, or speaks HTTP/1.0.
TEST_F(HeldUpTest, NorDoesOneWhoseAnswerComesWithoutALength) {
  setup_.backend.max_concurrency = 1;
  const std::string image(8 << 20, 'i');
  for (const Unmeasured& answer : unmeasured_images(image)) {
    SCOPED_TRACE(answer.name);
    Exchange slow = begin(generate());
    RawClient next = connect();
    next.send(generate());
    slow.server.send("HTTP/1.1 200 OK\r\n" + answer.headers + "\r\n" + answer.begin + answer.end);
    slow.server.close();
    UpstreamConnectionInTest server = server_.accept();
    EXPECT_EQ(server.read_request().target(), "/generate");
    server.answer(200, "ok", "Connection: close\r\n");
    EXPECT_EQ(next.read_response().body, "ok");
    EXPECT_GE(proxy().core().bodies.used(), image.size() - BodyBuffer::kUncharged);
    EXPECT_EQ(slow.client.read_response().body, image);
    proxy().settle();
    EXPECT_EQ(proxy().core().bodies.used(), 0u);
  }
}

TEST_F(HeldUpTest, WhatBrokeOffWhileItWasReadAheadLooksBroken) {
  setup_.backend.max_concurrency = 1;
  Exchange call = begin(generate());
  call.server.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n" +
                   chunk("half an image"));
  call.server.close();
  read_raw_head(call.client);
  EXPECT_EQ(call.client.read_to_end(), chunk("half an image"));
  EXPECT_EQ(call.client.end(), End::kReset);
}

TEST_F(HeldUpTest, AnswersThatAreReadAsTheyComeAreNotHeldBack) {
  setup_.backend.max_concurrency = 1;
  for (const char* type :
       {"", "Content-Type: text/event-stream\r\n", "Content-Type: application/x-ndjson\r\n",
        "Content-Type: audio/mpeg\r\n", "Content-Type: text/plain\r\n"}) {
    SCOPED_TRACE(type);
    Exchange call = begin(generate());
    call.server.send("HTTP/1.1 200 OK\r\n" + std::string(type) + "Transfer-Encoding: chunked\r\n\r\n" +
                     chunk("one"));
    read_raw_head(call.client);
    EXPECT_EQ(read_chunk(call.client), "one");
    call.server.send(kLastChunk);
    call.server.close();
    read_chunk(call.client);
  }
}

TEST_F(HeldUpTest, AnAnswerWithoutALengthThatOutgrowsTheBufferIsReadAsItsClientReads) {
  setup_.backend.max_concurrency = 1;
  Exchange slow = begin(generate());
  slow.server.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n");
  EXPECT_GT(send_until_stuck(slow.server), 16u << 20);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 1u);
  EXPECT_LE(proxy().core().bodies.used(), 16u << 20);
}

TEST_F(HeldUpTest, AnAnswerTooLargeToBeReadAheadIsReadAsItsClientReads) {
  setup_.backend.max_concurrency = 1;
  Exchange slow = begin(generate());
  slow.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  EXPECT_LT(send_until_stuck(slow.server), 100'000'000u);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 1u);
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

// ---- large bodies

// Checking one takes so long that all streams of the thread would stand still meanwhile.
TEST_F(HeldUpTest, OthersAreServedWhileALargeBodyIsChecked) {
  std::string text(kCheckedInPlace, 'x');
  std::string payload = R"({"work": 3, "text": ")" + text + "\"}";
  std::promise<void> go_on;
  proxy().on_each_thread([&](ProxyThread& thread) {
    asio::post(thread.checker, [wait = go_on.get_future().share()] { wait.wait(); });
  });
  RawClient large = connect(), invalid = connect();
  large.send(generate(payload));
  invalid.send(post_request("/generate", "{" + text));
  expect_server_not_called();
  EXPECT_TRUE(large.is_silent());
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
  go_on.set_value();
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().body, payload);
  server.answer(200, "ok");
  EXPECT_EQ(large.read_response().body, "ok");
  EXPECT_EQ(invalid.read_response().body, R"({"error":"invalid JSON"})");
}

// Each takes up to half a second: whoever sent many decided how long everybody else's waited to be checked.
TEST_F(HeldUpTest, ALargeBodyWaitsForOneOfAnotherAddressAtMost) {
  const auto body = [&](std::string_view name) {
    return generate("{\"name\": \"" + std::string(name) + "\", \"text\": \"" +
                    std::string(kCheckedInPlace, 'x') + "\"}");
  };
  std::promise<void> go_on;
  proxy().on_each_thread([&](ProxyThread& thread) {
    asio::post(thread.checker, [wait = go_on.get_future().share()] { wait.wait(); });
  });
  std::vector<RawClient> clients;
  for (const char* name : {"many 1", "many 2", "many 3", "another"}) {
    const bool another = std::string_view(name) == "another";
    clients.emplace_back(proxy().port(), another ? "127.0.0.2" : "127.0.0.1");
    clients.back().send(body(name));
    proxy().settle();
  }
  go_on.set_value();
  std::vector<UpstreamConnectionInTest> servers;
  for (const char* name : {"many 1", "another", "many 2", "many 3"}) {
    servers.push_back(server_.accept());
    EXPECT_THAT(servers.back().read_request().body, testing::HasSubstr(name));
  }
}

// Nor while the formula is worked out over it, which may look at all of it once more.
TEST_F(HeldUpTest, OthersAreServedWhileALargeBodyIsPriced) {
  endpoint("POST", "/generate").workload = Workload::compile("chars(payload.text) / 1000").value();
  std::string payload = R"({"text": ")" + std::string(kCheckedInPlace, 'x') + "\"}";
  std::promise<void> checked, priced;
  auto block_checker = [&](std::promise<void>& until) {
    proxy().on_each_thread([&](ProxyThread& thread) {
      asio::post(thread.checker, [wait = until.get_future().share()] { wait.wait(); });
    });
  };
  block_checker(checked);
  RawClient large = connect();
  large.send(generate(payload));
  proxy().settle();
  block_checker(priced);  // behind the check
  checked.set_value();
  // The signature was good; what it costs isn't known yet.
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
  expect_server_not_called();
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
  priced.set_value();
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().body, payload);
  EXPECT_EQ(proxy().books().in_flight.at(0).work_milli, static_cast<std::int64_t>(kCheckedInPlace));
}

}  // namespace
}  // namespace cppworker
