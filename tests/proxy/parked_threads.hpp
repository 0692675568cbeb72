// Holds the threads of several io_contexts still, each inside a handler, and runs work on them one at a time:
// so that a test can look at what belongs to a thread, and can tell that none of them has anything to do.
//
// (Simply posting to each in turn can't tell that: what was posted to one thread may have come back to the
// other meanwhile.)
#pragma once

#include <functional>
#include <memory>
#include <vector>
#include <boost/asio/io_context.hpp>

namespace cppworker {

class ParkedThreads {
 public:
  // Waits until all are parked; throws when one hangs. All of them must be running.
  explicit ParkedThreads(const std::vector<boost::asio::io_context*>& loops);
  // They go on.
  ~ParkedThreads();
  ParkedThreads(const ParkedThreads&) = delete;

  // Runs `work` on the thread of loops[index], and returns when it is done.
  void run_on(std::size_t index, const std::function<void()>& work);

  // Lets the loops work, one after the other, until none has anything to do.
  void run_dry();

 private:
  struct Place;

  std::vector<boost::asio::io_context*> loops_;
  std::vector<std::shared_ptr<Place>> places_;
};

}  // namespace cppworker
