#include "proxy/body_buffer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace cppworker {
namespace {

bool append(BodyBuffer& body, MemoryBudget& budget, std::string_view text, std::uint64_t whole) {
  while (!text.empty()) {
    if (!body.make_room(budget, whole - body.size())) return false;
    std::size_t size = std::min(text.size(), body.free_size());
    std::memcpy(body.free_begin(), text.data(), size);
    body.commit(size);
    text.remove_prefix(size);
  }
  return true;
}

TEST(BodyBufferTest, KeepsTheBytesWhileItGrows) {
  MemoryBudget budget(10 << 20);
  BodyBuffer body;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i);
  ASSERT_TRUE(append(body, budget, text, text.size()));
  EXPECT_EQ(body.text(), text);
  EXPECT_EQ(budget.used(), text.size()) << "no more than the body needs";
  body.clear();
  EXPECT_EQ(budget.used(), 0u);
}

TEST(BodyBufferTest, AnnouncingCostsNothing) {
  MemoryBudget budget(1 << 20);
  BodyBuffer body;
  ASSERT_TRUE(append(body, budget, "x", std::uint64_t{1} << 40));
  EXPECT_LE(budget.used(), 16u * 1024);
}

TEST(BodyBufferTest, StopsAtTheBudgetAndKeepsWhatItHas) {
  MemoryBudget budget(100 * 1024);
  BodyBuffer first;
  {
    BodyBuffer second;
    ASSERT_TRUE(append(first, budget, std::string(60 * 1024, 'a'), 60 * 1024));
    EXPECT_FALSE(append(second, budget, std::string(60 * 1024, 'b'), 60 * 1024));
    EXPECT_EQ(first.text(), std::string(60 * 1024, 'a'));
  }
  BodyBuffer third;
  EXPECT_TRUE(append(third, budget, std::string(40 * 1024, 'c'), 40 * 1024))
      << "the second gave its share back";
}

}  // namespace
}  // namespace cppworker
