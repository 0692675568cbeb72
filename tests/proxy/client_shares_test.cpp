#include "proxy/client_shares.hpp"

#include <thread>
#include <vector>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using boost::asio::ip::make_address;

struct ClientSharesTest : testing::Test {
  std::optional<ClientShares::Place> enter(const char* address) {
    return shares.enter(make_address(address));
  }
  // Whether both are one client.
  bool same(const char* one, const char* other) {
    const auto first = enter(one), second = enter(other);
    return shares.addresses() == 1;
  }

  MemoryBudget all{1000};
  ClientShares shares{all, ClientShares::Limits{.connections = 2, .body_bytes = 600}};
};

TEST_F(ClientSharesTest, AnAddressHasSoManyConnectionsAndNoMore) {
  auto one = enter("203.0.113.1");
  {
    const auto two = enter("203.0.113.1");
    EXPECT_TRUE(two);
    EXPECT_FALSE(enter("203.0.113.1"));
    EXPECT_TRUE(enter("203.0.113.2")) << "another client";
  }
  EXPECT_TRUE(enter("203.0.113.1")) << "the second has ended";
}

TEST_F(ClientSharesTest, AnAddressIsForgottenWithItsLastConnection) {
  {
    const auto one = enter("203.0.113.1"), two = enter("203.0.113.1"), other = enter("203.0.113.2");
    EXPECT_EQ(shares.addresses(), 2u);
  }
  EXPECT_EQ(shares.addresses(), 0u);
}

TEST_F(ClientSharesTest, AClientIsAnIpv4AddressOrAnIpv6Network) {
  EXPECT_TRUE(same("203.0.113.1", "::ffff:203.0.113.1"));
  EXPECT_TRUE(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
  EXPECT_FALSE(same("203.0.113.1", "203.0.113.2"));
  EXPECT_FALSE(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
  EXPECT_FALSE(same("::ffff:203.0.113.1", "::ffff:203.0.113.2"));
  EXPECT_FALSE(same("0.0.0.1", "::1"));
}

TEST_F(ClientSharesTest, BodiesAreChargedToTheAddressAndToAll) {
  auto one = enter("203.0.113.1"), two = enter("203.0.113.1"), other = enter("203.0.113.2");
  EXPECT_TRUE(one->bodies().take(400));
  EXPECT_FALSE(two->bodies().take(201)) << "past the address's share";
  EXPECT_EQ(all.used(), 400u);
  EXPECT_TRUE(other->bodies().take(600));
  EXPECT_FALSE(two->bodies().take(1)) << "past that of all";
  EXPECT_EQ(two->bodies().used(), 400u) << "nothing was taken";
  other->bodies().give_back(600);
  EXPECT_TRUE(two->bodies().take(200));
  one->bodies().give_back(600);
  EXPECT_EQ(all.used(), 0u);
}

TEST_F(ClientSharesTest, WithoutLimitsNothingIsCounted) {
  ClientShares unlimited(all, std::nullopt);
  const auto one = unlimited.enter(make_address("203.0.113.1"));
  EXPECT_EQ(unlimited.addresses(), 0u);
  EXPECT_TRUE(one->bodies().take(1000));
  EXPECT_EQ(all.used(), 1000u);
}

TEST_F(ClientSharesTest, ManyThreadsLeaveNothingBehind) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([this] {
      for (int i = 0; i < 1000; ++i) {
        auto place = enter("203.0.113.1");
        if (place && place->bodies().take(300)) place->bodies().give_back(300);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shares.addresses(), 0u);
  EXPECT_EQ(all.used(), 0u);
}

TEST(ShareLimitsTest, AShareIsAPartOfWhatThereIsAndHoldsOneBody) {
  ProxySettings settings;
  settings.max_connections = 100;
  settings.max_buffered_bytes = 1000;
  settings.address_share_percent = 20;
  EXPECT_EQ(share_limits(settings, 150)->connections, 20);
  EXPECT_EQ(share_limits(settings, 150)->body_bytes, 200u);
  EXPECT_EQ(share_limits(settings, 500)->body_bytes, 500u);
  settings.max_connections = 1;
  EXPECT_EQ(share_limits(settings, 1)->connections, 1) << "not none";
  settings.address_share_percent = 0;
  EXPECT_FALSE(share_limits(settings, 1));
}

// ---- in the proxy

using OneAddressTest = ProxyTest;

TEST_F(OneAddressTest, MayHaveHalfOfTheConnections) {
  setup_.settings.max_connections = 4;
  RawClient one = connect(), two = connect();
  EXPECT_EQ(one.exchange(get_request("/ping")).body, "pong");
  EXPECT_EQ(two.exchange(get_request("/ping")).body, "pong");
  const RawMessage refused = connect().exchange(get_request("/ping"));
  expect_error(refused, 503, "proxy: too many connections from this address");
  EXPECT_EQ(refused.header("Retry-After"), "2");
  EXPECT_EQ(RawClient(proxy().port(), "127.0.0.2").exchange(get_request("/ping")).body, "pong");
  EXPECT_EQ(RawClient(proxy().session_port()).exchange(get_request("/nothing")).status(), 404)
      << "the inference server's own way in";
  EXPECT_EQ(proxy().counted(Counter::kConnectionsRefusedAddress), 1u);
  one.close();
  proxy().settle();
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
}

TEST_F(OneAddressTest, MayHaveHalfOfTheBuffersForBodies) {
  constexpr std::int64_t kBody = 100'000;
  setup_.settings.max_buffered_bytes = 4 * kBody;
  setup_.settings.max_body_bytes = kBody;
  for (const char* method : {"POST", "PUT"}) endpoint(method, "/open").max_body_bytes = kBody;
  const std::string whole(kBody, 'b');
  const std::string unfinished = post_request("/open", whole).substr(0, kBody);
  RawClient one = connect(), two = connect();
  one.send(unfinished);
  two.send(unfinished);
  proxy().settle();
  expect_error(connect().exchange(post_request("/open", whole)), 503,
               "proxy: too many large request bodies at once");
  RawClient other(proxy().port(), "127.0.0.2");
  other.send(post_request("/open", whole));
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().body, whole);
}

}  // namespace
}  // namespace cppworker
