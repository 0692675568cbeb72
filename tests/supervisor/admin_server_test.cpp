#include "supervisor/admin_server.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class AdminServerTest : public testing::Test {
 protected:
  // A client on a connection of its own.
  struct Client {
    Client(asio::io_context& io, std::uint16_t port) : socket(io) {
      socket.connect({asio::ip::address_v4::loopback(), port});
      socket.non_blocking(true);
    }
    void say(std::string_view bytes) { asio::write(socket, asio::buffer(bytes)); }
    // The server has closed the connection; `heard` is all that it said.
    bool over() {
      char buffer[4096];
      boost::system::error_code ec;
      while (const std::size_t size = socket.read_some(asio::buffer(buffer), ec)) heard.append(buffer, size);
      return ec && ec != asio::error::would_block;
    }
    tcp::socket socket;
    std::string heard;
  };

  AdminServerTest() {
    auto opened = open_listener(io, "127.0.0.1", 0);
    if (!opened) throw std::runtime_error(opened.error().message);
    acceptor.emplace(std::move(*opened));
    AdminPages pages;
    pages["/livez"] = [] { return AdminAnswer{200, "application/json", "{\"live\":true}\n"}; };
    pages["/readyz"] = [] { return AdminAnswer{503, "application/json", "{}"}; };
    pages["/metrics"] = [this] {
      ++scrapes;
      return AdminAnswer{200, "text/plain; version=0.0.4", "up 1\n"};
    };
    asio::co_spawn(io, run_admin_server(*acceptor, std::move(pages)), [this](std::exception_ptr problem) {
      if (problem) std::rethrow_exception(problem);
      ended = true;
    });
  }

  Client connect() { return Client(io, acceptor->local_endpoint().port()); }
  // All that is answered to these bytes.
  std::string answer_to(std::string_view bytes) {
    Client client = connect();
    client.say(bytes);
    EXPECT_TRUE(run_until(io, [&] { return client.over(); }));
    return client.heard;
  }
  void settle() {
    io.restart();
    io.poll();
  }

  MovableClock clock;
  asio::io_context io;
  std::optional<tcp::acceptor> acceptor;
  int scrapes = 0;
  bool ended = false;
};

TEST_F(AdminServerTest, AnswersWithThePage) {
  EXPECT_THAT(answer_to("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Type: application/json\r\n"),
                    HasSubstr("Content-Length: 14\r\n"), HasSubstr("Cache-Control: no-store\r\n"),
                    EndsWith("\r\n\r\n{\"live\":true}\n")));
  EXPECT_THAT(answer_to("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 503 "), EndsWith("\r\n\r\n{}")));
  EXPECT_THAT(answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
              HasSubstr("Content-Type: text/plain; version=0.0.4\r\n"));
}

TEST_F(AdminServerTest, MakesThePageAnewForEachRequest) {
  answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(scrapes, 2);
}

TEST_F(AdminServerTest, TakesNoNoticeOfAQuery) {
  EXPECT_THAT(answer_to("GET /livez?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, KnowsNoOtherPages) {
  for (const char* target : {"/", "/livez/", "/LIVEZ", "/status", "/%6civez", "//livez"})
    EXPECT_THAT(answer_to("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 404 "), EndsWith("{\"error\":\"admin: no such page\"}")))
        << target;
}

TEST_F(AdminServerTest, OnlyShows) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"})
    EXPECT_THAT(answer_to(std::string(method) + " /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")))
        << method;
}

TEST_F(AdminServerTest, AnswersHeadWithoutTheBody) {
  EXPECT_THAT(
      answer_to("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
      AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 14\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(AdminServerTest, ClosesAfterOneAnswerAndSaysSo) {
  const std::string twice = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n";
  Client client = connect();
  client.say(twice);
  ASSERT_TRUE(run_until(io, [&] { return client.over(); }));
  EXPECT_THAT(client.heard, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer_to("GET /livez HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, ClosesOnWhatIsNoRequest) {
  for (const char* bytes : {"\r\n\r\n\r\n", "hello\r\n\r\n", "GET /livez HTTP/7.7\r\n\r\n",
                            "GET /livez HTTP/1.1\r\nno colon\r\n\r\n"})
    EXPECT_THAT(answer_to(bytes), testing::Not(HasSubstr("200"))) << bytes;
  EXPECT_THAT(answer_to("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, ClosesOnAHeadThatIsTooLarge) {
  EXPECT_EQ(answer_to("GET /livez HTTP/1.1\r\nX: " + std::string(9000, 'x') + "\r\n\r\n"), "");
  EXPECT_THAT(answer_to("GET /livez HTTP/1.1\r\nX: " + std::string(7000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, CutsOffAClientThatKeepsItWaiting) {
  Client silent = connect(), slow = connect();
  slow.say("GET /livez HTT");
  settle();
  clock.skip(io, 9s);
  slow.say("P/1.1\r\nX: ");
  settle();
  EXPECT_FALSE(silent.over());
  EXPECT_FALSE(slow.over());
  clock.skip(io, 2s);
  EXPECT_TRUE(run_until(io, [&] { return silent.over() && slow.over(); })) << "a byte doesn't prolong it";
  EXPECT_EQ(slow.heard, "");
}

// A scraper that leaks connections, or a stranger where the admin port was opened to the world.
TEST_F(AdminServerTest, HoldsSoManyConnectionsAndNoMore) {
  std::vector<Client> silent;
  for (int i = 0; i < 64; ++i) silent.push_back(connect());
  settle();
  EXPECT_EQ(answer_to("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  EXPECT_FALSE(silent.back().over());
  clock.skip(io, 11s);
  ASSERT_TRUE(run_until(io, [&] { return silent.back().over(); }));
  EXPECT_THAT(answer_to("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, OutlivesClientsThatGoAway) {
  for (int i = 0; i < 100; ++i) {
    Client client = connect();
    client.say("GET /metrics HTTP/1.1\r\n");
    if (i % 2 == 0) client.say("\r\n");
    client.socket.set_option(asio::socket_base::linger(true, 0));  // closes with a reset
  }
  ASSERT_TRUE(run_until(io, [&] { return scrapes > 0; }));
  EXPECT_THAT(answer_to("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, EndsWhenItsAcceptorIsClosed) {
  settle();
  EXPECT_FALSE(ended);
  acceptor->close();
  EXPECT_TRUE(run_until(io, [&] { return ended; }));
}

TEST(OpenListener, SaysWhichPortIsTaken) {
  asio::io_context io;
  auto first = open_listener(io, "127.0.0.1", 0);
  ASSERT_TRUE(first) << first.error().message;
  const std::uint16_t port = first->local_endpoint().port();
  const auto second = open_listener(io, "127.0.0.1", port);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, "cannot listen on 127.0.0.1:" + std::to_string(port) +
                                        ": Address already in use; another worker may run here, or choose "
                                        "another port");
}

// After a restart the old connections linger for a minute; the port must be had all the same.
TEST(OpenListener, TakesAPortThatOldConnectionsStillUse) {
  asio::io_context io;
  auto first = open_listener(io, "127.0.0.1", 0);
  ASSERT_TRUE(first);
  const tcp::endpoint place = first->local_endpoint();
  tcp::socket client(io);
  client.connect(place);
  tcp::socket server = first->accept();
  server.close();  // the side that closes first keeps the port
  client.close();
  first->close();
  const auto second = open_listener(io, "127.0.0.1", place.port());
  EXPECT_TRUE(second) << second.error().message;
}

TEST(OpenListener, WantsAnIpAddress) {
  asio::io_context io;
  const auto refused = open_listener(io, "localhost", 3002);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "cannot listen on localhost:3002: the address must be an IP address");
  const auto elsewhere = open_listener(io, "203.0.113.9", 0);
  ASSERT_FALSE(elsewhere);
  EXPECT_THAT(elsewhere.error().message, HasSubstr("203.0.113.9:0: Cannot assign requested address"));
}

}  // namespace
}  // namespace cppworker
