#include "common/name_lookup.hpp"

#include <gtest/gtest.h>

#include <future>

#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

class NameLookupTest : public testing::Test {
 protected:
  Result<Addresses> find(const std::string& host, NameService names) {
    return run_coroutine(io, look_up(host, std::move(names)));
  }
  asio::io_context io;
};

TEST_F(NameLookupTest, AsksNobodyForAddresses) {
  NameService nobody = [](const std::string&) -> Result<Addresses> { return fail("asked"); };
  for (const char* host : {"127.0.0.1", "203.0.113.9", "::1"}) {
    auto found = find(host, nobody);
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ(found->front().to_string(), host);
  }
  EXPECT_EQ(find("localhost", nobody)->front().to_string(), "127.0.0.1");
  EXPECT_EQ(find("example.test", nobody).error().message, "asked");
}

TEST_F(NameLookupTest, ASilentNameServerHoldsNobodyUp) {
  std::promise<void> silence;
  std::shared_future<void> broken = silence.get_future().share();
  NameService silent = [broken](const std::string&) -> Result<Addresses> {
    broken.wait();
    return Addresses{};
  };
  auto limited = [&]() -> Awaitable<bool> {
    auto result = co_await with_deadline(look_up("example.test", silent), std::chrono::milliseconds(1));
    co_return result.has_value();
  };
  EXPECT_FALSE(run_coroutine(io, limited())) << "given up at once";
  EXPECT_TRUE(find("127.0.0.1", silent));
  silence.set_value();
}

}  // namespace
}  // namespace cppworker
