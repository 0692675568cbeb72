#include "proxy/deadline_ticker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <string>

namespace cppworker {
namespace {

using std::chrono::seconds;

// Notes in `log` that its deadline came, and does what the test wants done then.
class Noted : public Deadlined {
 public:
  Noted(char name, std::string& log) : name_(name), log_(log) {}
  std::function<void()> then = [] {};

 private:
  void on_deadline() override {
    log_ += name_;
    auto next = then;  // which may end this object
    next();
  }

  char name_;
  std::string& log_;
};

class DeadlineTickerTest : public testing::Test {
 protected:
  std::unique_ptr<Noted> watched(char name, seconds from_now) {
    auto made = std::make_unique<Noted>(name, log_);
    ticker_.watch(*made);
    made->set_deadline(from_now);
    return made;
  }
  void tick_after(seconds ahead) { ticker_.tick(Deadlined::Clock::now() + ahead); }

  std::string log_;
  DeadlineTicker ticker_;
};

TEST_F(DeadlineTickerTest, CallsThoseWhoseDeadlineHasPassedAndNobodyElse) {
  auto a = watched('a', seconds(1000)), b = watched('b', seconds(3000)), c = watched('c', seconds(1000));
  tick_after(seconds(0));
  EXPECT_EQ(log_, "");
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "ac");
  tick_after(seconds(4000));
  EXPECT_EQ(log_, "acb");
}

TEST_F(DeadlineTickerTest, ADeadlineComesOnce) {
  auto a = watched('a', seconds(1000));
  tick_after(seconds(2000));
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "a");
  a->set_deadline(seconds(1000));
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "aa");
}

TEST_F(DeadlineTickerTest, WhatThrowsKeepsNoOtherFromItsDeadlineAndIsCalledAgain) {
  auto a = watched('a', seconds(1000)), b = watched('b', seconds(1000));
  a->then = [] { throw std::bad_alloc(); };
  EXPECT_THROW(tick_after(seconds(2000)), std::bad_alloc);
  EXPECT_EQ(log_, "ab");
  a->then = [] {};
  tick_after(seconds(2001));
  tick_after(seconds(2002));
  EXPECT_EQ(log_, "aba");
}

TEST_F(DeadlineTickerTest, TheLatestWordCounts) {
  auto later = watched('l', seconds(1000)), never = watched('n', seconds(1000));
  later->set_deadline(seconds(3000));
  never->clear_deadline();
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "");
  tick_after(seconds(1'000'000));
  EXPECT_EQ(log_, "l");
}

TEST_F(DeadlineTickerTest, WhatIsNewHasNoDeadline) {
  Noted fresh('f', log_);
  ticker_.watch(fresh);
  tick_after(seconds(1'000'000));
  EXPECT_EQ(log_, "");
}

TEST_F(DeadlineTickerTest, ADeadlineThatIsSetWhenOneComesIsKept) {
  auto a = watched('a', seconds(1000));
  a->then = [&] { a->set_deadline(seconds(5000)); };
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "a");
  tick_after(seconds(4000));
  EXPECT_EQ(log_, "a");
  tick_after(seconds(6000));
  EXPECT_EQ(log_, "aa");
}

TEST_F(DeadlineTickerTest, AnObjectMayEndWhenItsDeadlineComes) {
  auto a = watched('a', seconds(1000)), b = watched('b', seconds(1000)), c = watched('c', seconds(1000));
  b->then = [&] { b.reset(); };
  c->then = [&] { c.reset(); };
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "abc");
  a->set_deadline(seconds(1000));
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "abca");
}

TEST_F(DeadlineTickerTest, WhoHasEndedIsForgotten) {
  auto a = watched('a', seconds(1000));
  watched('b', seconds(1000)).reset();
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "a");
}

TEST_F(DeadlineTickerTest, WhoComesInsideATickHasItsOwnDeadline) {
  auto a = watched('a', seconds(1000));
  std::unique_ptr<Noted> born;
  a->then = [&] { born = watched('b', seconds(5000)); };
  tick_after(seconds(2000));
  EXPECT_EQ(log_, "a");
  tick_after(seconds(6000));
  EXPECT_EQ(log_, "ab");
}

}  // namespace
}  // namespace cppworker
