#include "proxy/fair_turns.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace cppworker {

Awaitable<> FairTurns::wait(Client client) {
  if (!std::exchange(taken_, true)) {
    now_ = client;
    co_return;
  }
  auto line =
      std::find_if(lines_.begin(), lines_.end(), [&](const Line& one) { return one.client == client; });
  if (line == lines_.end()) {
    // Before whoever has the turn now, and waits for more.
    auto behind =
        std::find_if(lines_.begin(), lines_.end(), [&](const Line& one) { return one.client == now_; });
    line = lines_.insert(behind, Line{client, {}});
  }
  ParkingPlace& place = *line->places.emplace_back(std::make_unique<ParkingPlace>());
  co_await place.wait();
}

void FairTurns::leave() {
  if (lines_.empty()) {
    taken_ = false;
    return;
  }
  Line line = std::move(lines_.front());
  lines_.pop_front();
  now_ = line.client;
  std::unique_ptr<ParkingPlace> next = std::move(line.places.front());
  line.places.pop_front();
  if (!line.places.empty()) lines_.push_back(std::move(line));
  // Not from here: who leaves hasn't ended yet.
  asio::post(executor_, [next = std::move(next)] { next->wake({}); });
}

}  // namespace cppworker
