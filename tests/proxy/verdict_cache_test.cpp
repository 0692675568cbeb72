#include "proxy/verdict_cache.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(VerdictCache, StaysBoundedAndKeepsWhatIsUsed) {
  VerdictCache cache;
  cache.insert(1, "\"kept\"", "\"signature\"");
  for (int i = 0; i < 20'000; ++i) {
    cache.insert(1, "\"" + std::to_string(i) + "\"", "\"signature\"");
    ASSERT_TRUE(cache.contains(1, "\"kept\"", "\"signature\"")) << i;
  }
  EXPECT_LE(cache.size(), VerdictCache::kEntries);
  EXPECT_GT(cache.size(), VerdictCache::kEntries / 2);
  EXPECT_FALSE(cache.contains(1, "\"0\"", "\"signature\""));
  EXPECT_FALSE(cache.contains(2, "\"kept\"", "\"signature\""));
  EXPECT_FALSE(cache.contains(1, "\"kept\"", "\"signaturE\""));
  EXPECT_FALSE(cache.contains(1, "\"kept\"\"", "signature\""));
}

// Tried so often that some come to the very place where the verdict lies.
TEST(VerdictCache, NothingElseIsTakenForItWhereverItLies) {
  VerdictCache cache;
  cache.insert(1, "url", "signature");
  for (int i = 2; i < 20'000; ++i) {
    std::string other = std::to_string(i);
    ASSERT_FALSE(cache.contains(static_cast<std::uint64_t>(i), "url", "signature")) << i;
    ASSERT_FALSE(cache.contains(1, "url" + other, "signature")) << i;
    ASSERT_FALSE(cache.contains(1, "url", "signature" + other)) << i;
  }
  EXPECT_TRUE(cache.contains(1, "url", "signature"));
}

}  // namespace
}  // namespace cppworker
