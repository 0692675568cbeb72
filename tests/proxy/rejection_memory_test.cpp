#include "proxy/rejection_memory.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

Acceptance rejected(std::optional<std::uint64_t> reqnum, std::optional<std::int64_t> request_idx, bool once) {
  Acceptance made;
  made.reqnum = reqnum;
  made.request_idx = request_idx;
  made.once = once;
  return made;
}

TEST(RejectionMemory, KnowsARequestByWhatItsSignatureCovers) {
  RejectionMemory memory;
  EXPECT_TRUE(memory.is_first(rejected(7, 100, true)));
  EXPECT_FALSE(memory.is_first(rejected(7, 100, true)));
  EXPECT_FALSE(memory.is_first(rejected(7, 101, true))) << "the index isn't signed: anybody may change it";
  EXPECT_TRUE(memory.is_first(rejected(8, 100, true)));
}

TEST(RejectionMemory, ElseByItsIndexAndElseByItsNumber) {
  RejectionMemory memory;
  EXPECT_TRUE(memory.is_first(rejected(7, 100, false)));
  EXPECT_FALSE(memory.is_first(rejected(8, 100, false)));
  EXPECT_TRUE(memory.is_first(rejected(7, 101, false)));
  EXPECT_TRUE(memory.is_first(rejected(7, {}, false)));
  EXPECT_FALSE(memory.is_first(rejected(7, {}, false)));
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(memory.is_first(rejected({}, {}, false))) << "nothing tells them apart";
}

TEST(RejectionMemory, TakesNothingUnsignedForWhatIsSigned) {
  RejectionMemory memory;
  memory.is_first(rejected(7, {}, false));
  memory.is_first(rejected({}, 7, false));
  EXPECT_TRUE(memory.is_first(rejected(7, {}, true)));
}

TEST(RejectionMemory, ForgetsTheOldestWhenItIsFull) {
  RejectionMemory memory;
  for (std::uint64_t reqnum = 0; reqnum < RejectionMemory::kRemembered; ++reqnum)
    EXPECT_TRUE(memory.is_first(rejected(reqnum, {}, true)));
  EXPECT_FALSE(memory.is_first(rejected(0, {}, true)));
  EXPECT_TRUE(memory.is_first(rejected(1'000'000, {}, true)));
  EXPECT_FALSE(memory.is_first(rejected(1, {}, true)));
  EXPECT_TRUE(memory.is_first(rejected(0, {}, true)));
}

}  // namespace
}  // namespace cppworker
