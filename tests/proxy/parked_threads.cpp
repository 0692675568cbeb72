#include "tests/proxy/parked_threads.hpp"

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <boost/asio/post.hpp>

#include "tests/proxy/raw_socket.hpp"

namespace cppworker {

// Shared with the thread, which may come to it after the test has given up waiting.
struct ParkedThreads::Place {
  std::mutex mutex;
  std::condition_variable changed;
  bool parked = false, leave = false;
  const std::function<void()>* work = nullptr;

  void stay() {
    std::unique_lock lock(mutex);
    parked = true;
    changed.notify_all();
    while (true) {
      changed.wait(lock, [this] { return leave || work != nullptr; });
      if (leave) return;
      lock.unlock();
      (*work)();
      lock.lock();
      work = nullptr;
      changed.notify_all();
    }
  }

  void wait_until(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, kHangGuard, condition))
      throw std::runtime_error("a thread of the proxy hangs");
  }

  void release() {
    std::lock_guard lock(mutex);
    leave = true;
    changed.notify_all();
  }
};

ParkedThreads::ParkedThreads(const std::vector<boost::asio::io_context*>& loops) : loops_(loops) {
  for (auto* loop : loops_) {
    auto place = places_.emplace_back(std::make_shared<Place>());
    boost::asio::post(*loop, [place] { place->stay(); });
  }
  try {
    for (auto& place : places_) place->wait_until([&] { return place->parked; });
  } catch (...) {
    for (auto& place : places_) place->release();
    throw;
  }
}

ParkedThreads::~ParkedThreads() {
  for (auto& place : places_) place->release();
}

void ParkedThreads::run_on(std::size_t index, const std::function<void()>& work) {
  Place& place = *places_[index];
  {
    std::lock_guard lock(place.mutex);
    place.work = &work;
    place.changed.notify_all();
  }
  place.wait_until([&] { return place.work == nullptr; });
}

void ParkedThreads::run_dry() {
  // poll() inside a handler runs all that is ready, and ends when a look at the sockets brings nothing new.
  for (std::size_t done = 1; done != 0;) {
    done = 0;
    for (std::size_t i = 0; i < loops_.size(); ++i) run_on(i, [&, i] { done += loops_[i]->poll(); });
  }
}

}  // namespace cppworker
