// One unusable key among those that the supervisor sends: the others stay good. Before, nobody was let in
// until the autoscaler had another key.
#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "proxy/signature_verifier.hpp"
#include "test_keys.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class KeyRingTest : public testing::Test {
 protected:
  KeyRingTest() {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  }
  ~KeyRingTest() override { spdlog::set_default_logger(before); }

  std::ostringstream log;
  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  const std::string good = pem_of(test_key().get());
  const std::uint64_t good_id = RsaKey::from_pem(good).value()->id();
};

TEST_F(KeyRingTest, LeavesOutAKeyThatCannotBeUsedAndSaysSo) {
  for (const auto& pems : {std::vector{good, std::string("x")}, std::vector{std::string("x"), good}}) {
    log.str("");
    auto ring = KeyRing::from_pems(pems);
    ASSERT_TRUE(ring) << ring.error().message;
    ASSERT_EQ((*ring)->keys().size(), 1u);
    EXPECT_EQ((*ring)->keys()[0]->id(), good_id);
    EXPECT_THAT(log.str(), HasSubstr("cannot use the public key: it is no PEM text"));
  }
}

TEST_F(KeyRingTest, FailsWhenNoneCanBeUsed) {
  auto ring = KeyRing::from_pems({"x", pem_of(make_key(1024).get())});
  ASSERT_FALSE(ring);
  EXPECT_THAT(ring.error().message, HasSubstr("1024 bits"));
}

TEST_F(KeyRingTest, IsEmptyWithoutKeys) {
  auto ring = KeyRing::from_pems({});
  ASSERT_TRUE(ring);
  EXPECT_THAT((*ring)->keys(), IsEmpty());
  EXPECT_EQ(log.str(), "");
}

}  // namespace
}  // namespace cppworker
