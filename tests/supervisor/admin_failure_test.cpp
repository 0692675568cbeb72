// A page that throws, which is a bug: the one who asks hears of it at once, and so does the log. Before, the
// connection stayed silent until its time had run out.
#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>
#include <stdexcept>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "common/http_client.hpp"
#include "supervisor/admin_server.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

class AdminFailureTest : public testing::Test {
 protected:
  AdminFailureTest() {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
    AdminPages pages;
    pages["/broken"] = []() -> AdminAnswer { throw std::runtime_error("invalid\nUTF-8 byte"); };
    pages["/livez"] = [] { return AdminAnswer{200, "application/json", "{}"}; };
    asio::co_spawn(io, run_admin_server(acceptor, std::move(pages)), asio::detached);
  }
  ~AdminFailureTest() override { spdlog::set_default_logger(before); }

  Result<HttpResponse> get(const std::string& target) {
    HttpRequest request;
    request.server.host = "127.0.0.1";
    request.server.port = acceptor.local_endpoint().port();
    request.target = target;
    return run_coroutine(io, http_exchange(request, kTestLimit));
  }

  std::ostringstream log;
  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor = open_listener(io, "127.0.0.1", 0).value();
};

TEST_F(AdminFailureTest, IsAnsweredWith500AndLoggedWithItsCause) {
  auto response = get("/broken");
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->body, R"({"error":"admin: cannot make this page"})");
  EXPECT_THAT(log.str(), HasSubstr("admin: cannot make the page /broken: invalid?UTF-8 byte"));
}

// Each leaves its place to the next: there are only so many.
TEST_F(AdminFailureTest, KeepsNoConnection) {
  for (int i = 0; i < 70; ++i) {
    auto response = get("/broken");
    ASSERT_TRUE(response) << i << ": " << response.error().message;
  }
  EXPECT_EQ(get("/livez")->status, 200);
}

}  // namespace
}  // namespace cppworker
