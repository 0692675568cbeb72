// A place in an admission, queued or inside, that is given back however its request ends: a place that an
// exception leaks is gone until the proxy is replaced, and a server that executes one request at a time has
// only one.
//
// Threads: its request's.
#pragma once

#include <utility>

#include "proxy/admission.hpp"

namespace cppworker {

class AdmissionPlace {
 public:
  AdmissionPlace() = default;
  // `waiter` was reserved with kIn or kQueued.
  AdmissionPlace(Admission& admission, Admission::WaiterPtr waiter)
      : admission_(&admission), waiter_(std::move(waiter)) {}
  AdmissionPlace(AdmissionPlace&& other) noexcept
      : admission_(other.admission_), waiter_(std::exchange(other.waiter_, nullptr)) {}
  AdmissionPlace& operator=(AdmissionPlace&& other) noexcept {
    give_back();
    admission_ = other.admission_;
    waiter_ = std::exchange(other.waiter_, nullptr);
    return *this;
  }
  ~AdmissionPlace() { give_back(); }

  const Admission::WaiterPtr& waiter() const { return waiter_; }

  // The request was at the server, and is done. `served`: its work tells how fast the server is.
  void leave(bool served) {
    if (waiter_) admission_->leave(std::exchange(waiter_, nullptr), served);
  }
  // Before it was at the server, or nobody knows how far it got. Nothing may be waiting for the turn.
  void give_back() {
    if (waiter_) admission_->abandon(std::exchange(waiter_, nullptr));
  }

 private:
  Admission* admission_ = nullptr;
  Admission::WaiterPtr waiter_;
};

}  // namespace cppworker
