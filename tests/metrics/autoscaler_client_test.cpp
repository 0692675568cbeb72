#include "metrics/autoscaler_client.hpp"

#include <gmock/gmock.h>

#include <deque>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/text.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
namespace http = boost::beast::http;

constexpr int kHangUp = 0;

// A server that answers the scripted statuses one after the other, the last one for ever.
class ScriptedServer {
 public:
  ScriptedServer(asio::io_context& io, std::deque<int> statuses, std::string body = "{}")
      : acceptor_(io, {asio::ip::address_v4::loopback(), 0}),
        statuses_(std::move(statuses)),
        body_(std::move(body)) {
    asio::co_spawn(io, serve(), asio::detached);
  }

  std::string address(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + path;
  }
  std::vector<std::string> lines;  // "POST /worker_status/ {…}"

 private:
  Awaitable<> serve() {
    while (true) {
      auto [accept_error, socket] = co_await acceptor_.async_accept(kTuple);
      if (accept_error) co_return;
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      auto [read_error, read] = co_await http::async_read(socket, buffer, request, kTuple);
      if (read_error) continue;
      lines.push_back(std::string(request.method_string()) + " " + std::string(request.target()) + " " +
                      request.body());
      int status = statuses_.front();
      if (statuses_.size() > 1) statuses_.pop_front();
      if (status == kHangUp) continue;
      http::response<http::string_body> response(static_cast<http::status>(status), 11);
      response.body() = body_;
      response.prepare_payload();
      co_await http::async_write(socket, response, kTuple);
    }
  }

  tcp::acceptor acceptor_;
  std::deque<int> statuses_;
  std::string body_;
};

class AutoscalerClientTest : public testing::Test {
 protected:
  std::unique_ptr<AutoscalerClient> client(const std::string& addresses) {
    std::vector<Url> urls;
    for (const std::string& address : split_list(addresses, ',')) urls.push_back(parse_url(address).value());
    return make_autoscaler_client(std::move(urls), {3, 5000ms, 1ms});
  }

  template <class T>
  Result<T> wait_for(Awaitable<Result<T>> work) {
    std::optional<Result<T>> result;
    asio::co_spawn(io_, std::move(work), [&](std::exception_ptr error, Result<T> value) {
      if (error) std::rethrow_exception(error);
      result.emplace(std::move(value));
    });
    while (!result) io_.run_one();
    return std::move(*result);
  }

  asio::io_context io_;
  const nlohmann::json report_ = {{"mtoken", "very-secret"}};
  const std::string body_ = R"({"mtoken":"very-secret"})";
};

TEST_F(AutoscalerClientTest, ReportIsPostedBehindTheAddressesOwnPath) {
  ScriptedServer server(io_, {200});
  auto client = this->client(server.address("/api/v1/"));
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_TRUE(wait_for(client->post_deleted(report_)));
  EXPECT_THAT(server.lines,
              ElementsAre("POST /api/v1/worker_status/ " + body_, "POST /api/v1/delete_requests/ " + body_));
}

TEST_F(AutoscalerClientTest, FirstAddressThatTakesTheReportIsEnough) {
  ScriptedServer first(io_, {200}), second(io_, {200});
  auto client = this->client(first.address() + ", " + second.address());
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(first.lines.size(), 1u);
  EXPECT_EQ(second.lines.size(), 0u);
}

TEST_F(AutoscalerClientTest, FailingAddressIsTriedThreeTimesAndThenTheNext) {
  ScriptedServer first(io_, {500}), second(io_, {200});
  auto client = this->client(first.address() + "," + second.address());
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(first.lines.size(), 3u);
  EXPECT_EQ(second.lines.size(), 1u);
}

TEST_F(AutoscalerClientTest, ServerThatRecoversIsNotLeft) {
  ScriptedServer first(io_, {kHangUp, 503, 200}), second(io_, {200});
  auto client = this->client(first.address() + "," + second.address());
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(first.lines.size(), 3u);
  EXPECT_EQ(second.lines.size(), 0u);
}

// Else an address that swallows connections would hold up every report for 34 s.
TEST_F(AutoscalerClientTest, NextMessageBeginsWithTheAddressThatAnswered) {
  ScriptedServer first(io_, {500}), second(io_, {200, 200, 500}), third(io_, {200});
  auto client = this->client(first.address() + "," + second.address() + "," + third.address());
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(first.lines.size(), 3u) << "of the first message alone";
  EXPECT_EQ(second.lines.size(), 2u);
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(third.lines.size(), 1u) << "the second fails by now, and the one after it has its turn";
  EXPECT_EQ(first.lines.size(), 3u);
}

TEST_F(AutoscalerClientTest, RefusalIsNotTriedAgainAtTheSameAddress) {
  ScriptedServer first(io_, {404}), second(io_, {200});
  auto client = this->client(first.address() + "," + second.address());
  EXPECT_TRUE(wait_for(client->post_status(report_)));
  EXPECT_EQ(first.lines.size(), 1u);
  EXPECT_EQ(second.lines.size(), 1u);
}

TEST_F(AutoscalerClientTest, ErrorNamesAddressAndCauseAndNoSecret) {
  ScriptedServer server(io_, {500}, "got very-secret");
  auto client = this->client(server.address());
  auto result = wait_for(client->post_status(report_));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr(server.address()));
  EXPECT_THAT(result.error().message, HasSubstr("500"));
  EXPECT_THAT(result.error().message, Not(HasSubstr("very-secret")));
}

TEST_F(AutoscalerClientTest, DeletionsForAnAddressThatTakesNoneAreDone) {
  auto client = this->client("https://cloud.vast.ai/api/v0/");
  EXPECT_TRUE(wait_for(client->post_deleted(report_)));
}

TEST_F(AutoscalerClientTest, DeletionsPassOverTheAddressThatTakesNone) {
  ScriptedServer server(io_, {200});
  auto client = this->client("https://cloud.vast.ai/api/v0," + server.address());
  EXPECT_TRUE(wait_for(client->post_deleted(report_)));
  EXPECT_EQ(server.lines.size(), 1u);
}

TEST_F(AutoscalerClientTest, BrokenUtf8InAReportIsReplacedNotThrown) {
  ScriptedServer server(io_, {200});
  auto client = this->client(server.address());
  EXPECT_TRUE(wait_for(client->post_status({{"error_msg", "\xff!"}})));
  EXPECT_THAT(server.lines, ElementsAre(HasSubstr("\xef\xbf\xbd!")));
}

TEST_F(AutoscalerClientTest, PublicKeyIsFetchedAsItIs) {
  const std::string pem = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n";
  ScriptedServer server(io_, {500, 200}, pem);
  auto client = this->client(server.address());
  auto key = wait_for(client->fetch_public_key());
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(*key, pem);
  EXPECT_EQ(server.lines.back(), "GET /pubkey/ ");
}

// The Python worker took the list of addresses for one, and had no key.
TEST_F(AutoscalerClientTest, PublicKeyComesFromTheNextAddressWhereTheFirstFails) {
  ScriptedServer first(io_, {500}), second(io_, {200}, "-----BEGIN PUBLIC KEY-----\n");
  auto client = this->client(first.address() + "," + second.address("/api/v1"));
  EXPECT_TRUE(wait_for(client->fetch_public_key()));
  EXPECT_THAT(first.lines, testing::Each("GET /pubkey/ "));
  EXPECT_THAT(second.lines, ElementsAre("GET /api/v1/pubkey/ "));
}

TEST_F(AutoscalerClientTest, PageThatIsNoKeyIsRefused) {
  ScriptedServer server(io_, {200}, "<html>welcome</html>");
  auto client = this->client(server.address());
  EXPECT_FALSE(wait_for(client->fetch_public_key()));
}

// What the caller must know: sent again, it would be refused again.
TEST_F(AutoscalerClientTest, DeletionsThatAreRefusedAreNoFailure) {
  for (int status : {400, 413, 422}) {
    ScriptedServer server(io_, {status});
    auto client = this->client(server.address());
    auto received = wait_for(client->post_deleted(report_));
    ASSERT_TRUE(received) << status;
    EXPECT_FALSE(received->taken()) << status;
    EXPECT_THAT(received->refusal, HasSubstr(server.address() + ": it answered " + std::to_string(status)));
    EXPECT_THAT(received->refusal, Not(HasSubstr("very-secret")));
  }
}

// A load balancer answers 404 while the autoscaler behind it is replaced.
TEST_F(AutoscalerClientTest, DeletionsFailForWhatMayPass) {
  for (int status : {401, 403, 404, 405, 408, 409, 410, 429, 500, 503}) {
    ScriptedServer server(io_, {status});
    auto client = this->client(server.address());
    EXPECT_FALSE(wait_for(client->post_deleted(report_))) << status;
  }
}

TEST_F(AutoscalerClientTest, DeletionsAreRefusedOnlyWhenEveryAddressRefuses) {
  ScriptedServer refusing(io_, {422}), failing(io_, {500}), taking(io_, {200});
  EXPECT_FALSE(wait_for(client(refusing.address() + "," + failing.address())->post_deleted(report_)));
  EXPECT_FALSE(wait_for(client(failing.address() + "," + refusing.address())->post_deleted(report_)));
  auto both = wait_for(client(refusing.address() + "," + refusing.address())->post_deleted(report_));
  ASSERT_TRUE(both);
  EXPECT_FALSE(both->taken());
  auto taken = wait_for(client(refusing.address() + "," + taking.address())->post_deleted(report_));
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->taken());
}

}  // namespace
}  // namespace cppworker
