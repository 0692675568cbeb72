#include "proxy/descriptor_budget.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(DescriptorBudget, HasTheDefaultFitIntoCommonLimits) {
  EXPECT_GE(affordable_connections(20'000), 10'000);
  EXPECT_GE(affordable_connections(1'048'576), 1'000'000);
}

TEST(DescriptorBudget, LeavesRoomForARequestOfEachThatMayHaveOne) {
  for (std::size_t descriptors : {200u, 1024u, 4096u, 8'400u, 20'000u, 65'536u}) {
    const auto clients = static_cast<std::size_t>(affordable_connections(descriptors));
    const std::size_t upstream =
        std::min(clients, ledger_layout::kSlots + kMostUnsigned + kMostUnsignedWebSockets);
    EXPECT_LE(clients + upstream, descriptors - 100) << descriptors;
    EXPECT_GE(clients + upstream, descriptors - 140) << descriptors << ": none is left unused";
  }
}

TEST(DescriptorBudget, ServesSomebodyWhateverTheLimitIs) {
  for (std::size_t descriptors : {0u, 1u, 64u, 129u}) EXPECT_EQ(affordable_connections(descriptors), 1);
}

}  // namespace
}  // namespace cppworker
