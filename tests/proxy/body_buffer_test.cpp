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
  EXPECT_EQ(budget.used(), text.size() - BodyBuffer::kUncharged) << "no more than the body needs";
  body.clear();
  EXPECT_EQ(budget.used(), 0u);
}

TEST(BodyBufferTest, AnnouncingCostsNothing) {
  MemoryBudget budget(1 << 20);
  BodyBuffer body;
  ASSERT_TRUE(append(body, budget, "x", std::uint64_t{1} << 40));
  EXPECT_EQ(budget.used(), 0u);
}

TEST(BodyBufferTest, ASmallBodyFitsIntoAFullBudget) {
  MemoryBudget budget(100);
  ASSERT_TRUE(budget.take(100));
  BodyBuffer body;
  std::string small(BodyBuffer::kUncharged, 's');
  EXPECT_TRUE(append(body, budget, small, small.size()));
  EXPECT_FALSE(append(body, budget, "x", small.size() + 1));
  EXPECT_EQ(body.text(), small);
}

TEST(BodyBufferTest, StopsAtTheBudgetAndKeepsWhatItHas) {
  constexpr std::size_t kCharged = 60 * 1024, kWhole = BodyBuffer::kUncharged + kCharged;
  MemoryBudget budget(100 * 1024);
  BodyBuffer first;
  {
    BodyBuffer second;
    ASSERT_TRUE(append(first, budget, std::string(kWhole, 'a'), kWhole));
    EXPECT_FALSE(append(second, budget, std::string(kWhole, 'b'), kWhole));
    EXPECT_EQ(first.text(), std::string(kWhole, 'a'));
  }
  BodyBuffer third;
  EXPECT_TRUE(append(third, budget, std::string(kWhole - 20 * 1024, 'c'), kWhole - 20 * 1024))
      << "the second gave its share back";
}

}  // namespace
}  // namespace cppworker
