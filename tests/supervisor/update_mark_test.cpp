#include "supervisor/update_mark.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

class UpdateMarkTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string path_ = folder_ / ".force_update";
};

TEST_F(UpdateMarkTest, IsMadeAndMayBeThere) {
  EXPECT_TRUE(make_update_mark(path_));
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(make_update_mark(path_));
}

TEST_F(UpdateMarkTest, IsNotMadeThroughALink) {
  std::string other = folder_ / "other";
  std::filesystem::create_symlink(other, path_);
  EXPECT_FALSE(make_update_mark(path_));
  EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_F(UpdateMarkTest, SaysWhyItCannotBeMade) {
  auto made = make_update_mark(folder_ / "nowhere/.force_update");
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("No such file or directory"), std::string::npos);
}

}  // namespace
}  // namespace cppworker
