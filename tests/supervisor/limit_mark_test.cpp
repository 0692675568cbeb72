#include "supervisor/limit_mark.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/environment.hpp"

namespace cppworker {
namespace {

// What a process sees of its own marks, told by its exit code: this one keeps its limits.
template <class Check>
bool holds_in_child(Check check) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(check() ? 0 : 1);
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status == 0;
}

TEST(LimitMark, GoesWithTheTreesMark) {
  const std::string mark = make_tree_mark();
  EXPECT_NE(limit_mark_of(mark), 0u);
  EXPECT_EQ(limit_mark_of(mark), limit_mark_of(mark));
  EXPECT_NE(limit_mark_of(mark), limit_mark_of(make_tree_mark()));
  EXPECT_EQ(limit_mark_of("00000000000000000000000000000000"), std::uint64_t{1} << 60) << "never 0";
  EXPECT_EQ(limit_mark_of("fffffffffffffff"), (std::uint64_t{1} << 61) - 1) << "never unlimited";
}

TEST(LimitMark, IsNoneForATextThatIsNoMark) {
  EXPECT_EQ(limit_mark_of(""), 0u);
  EXPECT_EQ(limit_mark_of("0123456789abcd"), 0u);
  EXPECT_EQ(limit_mark_of("0123456789abcdefg"), limit_mark_of("0123456789abcdef"));
  EXPECT_EQ(limit_mark_of("not a hexadecimal number"), 0u);
}

TEST(LimitMark, StaysWithAProcessAndItsChildren) {
  const std::uint64_t number = limit_mark_of(make_tree_mark());
  EXPECT_TRUE(holds_in_child([&] {
    set_limit_mark(number);
    return limit_mark_of_process(::getpid()) == number &&
           holds_in_child([&] { return limit_mark_of_process(::getpid()) == number; });
  }));
  EXPECT_EQ(limit_mark_of_process(::getpid()), 0u) << "nobody has marked us";
}

TEST(LimitMark, IsNotASmallLimitThatSomebodyHasSet) {
  EXPECT_TRUE(holds_in_child([] {
    const rlimit small{1000, 1000};
    ::setrlimit(RLIMIT_LOCKS, &small);
    return limit_mark_of_process(::getpid()) == 0;
  }));
}

TEST(LimitMark, IsNoneWhereThereIsNoProcess) {
  EXPECT_EQ(limit_mark_of_process(-1), 0u);
}

}  // namespace
}  // namespace cppworker
