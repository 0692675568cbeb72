// Whether a body that holds shared memory comes fast enough to be let go on holding it. Without this, a
// handful of clients that stop in the middle of large bodies keep all others' bodies out until the limit on
// the whole body's time.
//
// Judged window by window, so that neither a fast beginning nor a moment's pause counts for the rest. The
// first window is the grace: it is judged as the others, but nobody is judged before its end. A body that
// needs no share of the budget (BodyBuffer::kUncharged) may be as slow as its line.
//
// Pure: whoever holds it says when a window ends.
#pragma once

#include <cstdint>

namespace cppworker {

class BodyPace {
 public:
  // `least`: bytes in each window. `uncharged`: bytes that are nobody's loss.
  BodyPace(std::uint64_t least, std::uint64_t uncharged) : least_(least), uncharged_(uncharged) {}

  // At a window's end, with what has come in all; the next window begins. False: too slow.
  bool keeps_up(std::uint64_t size) {
    bool enough = size <= uncharged_ || size - at_begin_ >= least_;
    at_begin_ = size;
    return enough;
  }

 private:
  std::uint64_t least_, uncharged_;
  std::uint64_t at_begin_ = 0;  // of the window
};

}  // namespace cppworker
