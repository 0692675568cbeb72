// Who gives way when places for connections run low.
#include <vector>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class CrowdedTest : public SignedProxyTest {
 protected:
  static constexpr std::size_t kEnough = 9;  // the tenth is kept free

  CrowdedTest() {
    setup_.settings.max_connections = 10;
    setup_.settings.address_share_percent = 0;
  }

  // Connections that say nothing, the oldest first.
  std::vector<RawClient> connect_silently(std::size_t count) {
    std::vector<RawClient> silent;
    while (silent.size() < count) silent.push_back(connect_plainly());
    proxy().settle();
    return silent;
  }
  void expect_served(RawClient& client) { EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong"); }
};

TEST_F(CrowdedTest, EachNewcomerTakesThePlaceOfTheOldestThatSaysNothing) {
  std::vector<RawClient> silent = connect_silently(kEnough);
  for (std::size_t turn = 0; turn < 3; ++turn) {
    RawClient newcomer = connect();
    expect_served(newcomer);
    EXPECT_EQ(silent[turn].wait_for_end(), End::kEof);
    newcomer.close();
    proxy().settle();
    silent.push_back(connect_plainly());
    proxy().settle();
  }
  expect_served(silent[3]);
  EXPECT_EQ(proxy().counted(Counter::kConnectionsRefusedFull), 0u);
}

TEST_F(CrowdedTest, WithPlacesEnoughNobodyGivesWay) {
  std::vector<RawClient> silent = connect_silently(kEnough);
  for (RawClient& client : silent) expect_served(client);
}

TEST_F(CrowdedTest, WhoHasShownASignatureKeepsItsPlace) {
  Exchange signer = begin(generate());
  signer.server.answer(200, "done");
  EXPECT_EQ(signer.client.read_response().body, "done");
  std::vector<RawClient> silent = connect_silently(kEnough - 1);
  RawClient newcomer = connect();
  EXPECT_EQ(silent[0].wait_for_end(), End::kEof);
  expect_served(signer.client);
}

TEST_F(CrowdedTest, AnothersSignatureKeepsNoPlace) {
  RawClient stranger = connect();
  Route route = next_route();
  route.url = "http://203.0.113.6:1";
  EXPECT_EQ(stranger.exchange(generate(route)).status(), 401);
  std::vector<RawClient> silent = connect_silently(kEnough - 1);
  RawClient newcomer = connect();
  expect_served(newcomer);
  EXPECT_EQ(stranger.wait_for_end(), End::kEof);
}

TEST_F(CrowdedTest, NeitherDoesABegunRequest) {
  RawClient in_head = connect(), in_body = connect();
  in_head.send("POST /gen");
  in_body.send("POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{");
  std::vector<RawClient> silent = connect_silently(kEnough - 2);
  RawClient one = connect();
  proxy().settle();
  RawClient two = connect();
  expect_served(two);
  EXPECT_NE(in_head.wait_for_end(), End::kOpen);
  EXPECT_NE(in_body.wait_for_end(), End::kOpen);
}

TEST_F(CrowdedTest, WhoIsBeingServedIsNotCutOff) {
  Exchange health = begin(get_request("/health"));
  std::vector<RawClient> silent = connect_silently(kEnough - 1);
  RawClient newcomer = connect();
  EXPECT_EQ(silent[0].wait_for_end(), End::kEof);
  health.server.answer(200, "well");
  EXPECT_EQ(health.client.read_response().body, "well");
}

TEST_F(CrowdedTest, AHandshakeThatDoesNotGoOnGivesWay) {
  serve_tls();
  std::vector<RawClient> silent = connect_silently(kEnough);
  RawClient newcomer = connect();
  expect_served(newcomer);
  EXPECT_EQ(silent[0].wait_for_end(), End::kEof);
}

}  // namespace
}  // namespace cppworker
