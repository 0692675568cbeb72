// Where one coroutine waits until it is woken: a wait that costs no timer and no system call.
//
// Threads: one io_context's own. The waiter goes on inside wake(), so whoever calls it has finished with what
// the waiter may change.
#pragma once

#include <memory>
#include <utility>

#include "common/async.hpp"

namespace cppworker {

class ParkingPlace {
 public:
  bool taken() const { return waiter_ != nullptr; }

  // `auto [error] = co_await place.wait();` with the error that wake() was given. One at a time.
  auto wait() {
    return asio::async_initiate<decltype(kTuple), void(boost::system::error_code)>(
        [this](auto handler) { waiter_ = std::make_unique<WaiterOf<decltype(handler)>>(std::move(handler)); },
        kTuple);
  }

  // Does nothing when nobody waits.
  void wake(boost::system::error_code error) {
    if (auto waiter = std::move(waiter_)) waiter->go_on(error);
  }

 private:
  struct Waiter {
    virtual ~Waiter() = default;
    virtual void go_on(boost::system::error_code error) = 0;
  };
  template <class Handler>
  struct WaiterOf : Waiter {
    explicit WaiterOf(Handler handler) : handler(std::move(handler)) {}
    void go_on(boost::system::error_code error) override { std::move(handler)(error); }
    Handler handler;
  };

  std::unique_ptr<Waiter> waiter_;
};

}  // namespace cppworker
