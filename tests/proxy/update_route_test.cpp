// POST /pyworker/update, as whoever manages the instance calls it, and as strangers do.
#include "common/token_digest.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class UpdateRouteTest : public ProxyTest {
 protected:
  RawMessage update(std::string_view headers) {
    return connect().exchange(post_request("/pyworker/update", "", headers));
  }
  void know(const std::string& token) {
    proxy().on_each_thread([&](ProxyThread& thread) { thread.live.update_digest = token_digest(token); });
  }
};

TEST_F(UpdateRouteTest, TheHolderOfTheMasterTokenIsHeard) {
  know("the-token");
  RawMessage response = update("Authorization: Bearer the-token\r\n");
  EXPECT_EQ(response.status(), 200);
  EXPECT_EQ(response.body, R"({"ok":true})");
  EXPECT_EQ(update("authorization: bearer the-token\r\n").status(), 200);
  EXPECT_EQ(proxy().update_requests(), 2);
  EXPECT_EQ(proxy().counted(Counter::kUpdatesAccepted), 2u);
}

TEST_F(UpdateRouteTest, NobodyElseIs) {
  know("the-token");
  for (const char* headers : {"", "Authorization: the-token\r\n", "Authorization: Basic the-token\r\n",
                              "Authorization: Bearer \r\n", "Authorization: Bearer the-toke\r\n",
                              "Authorization: Bearer the-token2\r\n",
                              "Authorization: Bearer the-token\r\nAuthorization: Bearer the-token\r\n"})
    expect_error(update(headers), 401, "proxy: not the master token");
  EXPECT_EQ(proxy().update_requests(), 0);
  EXPECT_EQ(proxy().counted(Counter::kUpdatesRefused), 7u);
  expect_server_not_called();
}

// The Python worker compared with an unset variable, and let everybody in.
TEST_F(UpdateRouteTest, WithoutAMasterTokenNobodyIs) {
  for (const char* headers : {"", "Authorization: Bearer \r\n", "Authorization: Bearer None\r\n"})
    EXPECT_EQ(update(headers).status(), 401);
  EXPECT_EQ(proxy().update_requests(), 0);
}

TEST_F(UpdateRouteTest, ItIsForPostAlone) {
  RawMessage response = connect().exchange(get_request("/pyworker/update"));
  EXPECT_EQ(response.status(), 405);
  EXPECT_EQ(response.header("Allow"), "POST");
}

}  // namespace
}  // namespace cppworker
