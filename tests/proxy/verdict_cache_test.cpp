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

}  // namespace
}  // namespace cppworker
