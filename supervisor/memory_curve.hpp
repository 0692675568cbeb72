// How much memory a process tree used, from its launch on: few points, however long it ran.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace cppworker {

class MemoryCurve {
 public:
  struct Point {
    std::chrono::seconds after;  // since the launch
    std::uint64_t bytes;         // resident, the whole tree's; the largest value since the point before
  };
  // A curve for the eye.
  static constexpr std::size_t kMostPoints = 120;

  void clear() { *this = MemoryCurve(); }

  // When the points are all used, each second one goes, and from then on half as many come: so the whole life
  // is covered, and the peaks stay.
  void add(std::chrono::seconds after, std::uint64_t bytes) {
    if (pending_ == 0) {
      if (points_.size() == kMostPoints) thin_out();
      points_.push_back({after, bytes});
    } else if (bytes > points_.back().bytes) {
      points_.back() = {after, bytes};
    }
    pending_ = (pending_ + 1) % stride_;
  }

  const std::vector<Point>& points() const { return points_; }

 private:
  void thin_out() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i + 1 < points_.size(); i += 2)
      points_[kept++] = points_[i].bytes > points_[i + 1].bytes ? points_[i] : points_[i + 1];
    points_.resize(kept);
    stride_ *= 2;
  }

  std::vector<Point> points_;
  std::size_t stride_ = 1, pending_ = 0;
};

}  // namespace cppworker
