// Finds failures that an inference server reports inside an answer with a status of success: an error event
// in a stream, a result without text. The endpoint's definition says how lines that tell of one begin.
//
// The proxy looks at each answer as it relays it, the supervisor at those of its benchmark: in pieces of any
// size, and keeps no more than the first bytes of the line it is in. What is compressed passes unseen; the
// proxy asks for none at such an endpoint. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

class FailureDetector {
 public:
  // `lines` outlives the detector; empty: nothing is looked for, at no cost.
  explicit FailureDetector(const std::vector<std::string>& lines);

  void see(std::string_view piece) {
    if (longest_ > 0 && !found_) scan(piece);
  }
  bool found() const { return found_; }

 private:
  void scan(std::string_view piece);

  const std::vector<std::string>& lines_;
  std::size_t longest_ = 0;
  std::string start_;    // of the current line, up to longest_ bytes
  bool passed_ = false;  // this line was looked at
  bool found_ = false;
};

}  // namespace cppworker
