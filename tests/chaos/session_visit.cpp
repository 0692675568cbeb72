#include "session_visit.hpp"

#include "judging.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

constexpr int kRequests = 3;
// Beyond any time that the worker needs to come back, in which it can't be told of the end.
constexpr int kLifetimeSeconds = 300;
constexpr int kMostEnds = 20;
constexpr std::chrono::milliseconds kBetweenEnds{200};

Judged call(World& world, const std::string& route, const json& body, int wanted) {
  return judged_exchange(world, post_text("/session/" + route, body.dump()), {},
                         [&](int status, const std::string&) { return status == wanted; });
}

}  // namespace

void visit(World& world, const std::function<void(const Result&)>& note) {
  const json route = world.autoscaler.route({{"url", kUrl}, {"cost", 7}});
  const Judged created =
      call(world, "create", {{"auth_data", route}, {"payload", {{"lifetime", kLifetimeSeconds}}}}, 201);
  note(created.result);
  if (created.result.outcome != Outcome::kServed) return;
  const std::string id = json::parse(created.body).at("session_id");
  for (int i = 0; i < kRequests; ++i) note(ask(world, {.session = id, .route = route}));

  const json end = {{"session_id", id}, {"session_auth", route}};
  for (int i = 0; i < kMostEnds; ++i) {
    const Judged ended = call(world, "end", end, 200);
    // One whose answer was lost may have ended it.
    const bool gone = i > 0 && (ended.result.status == 400 || ended.result.status == 410);
    if (!gone) note(ended.result);
    if (gone || ended.result.outcome == Outcome::kServed) return;
    std::this_thread::sleep_for(kBetweenEnds);
  }
}

}  // namespace cppworker::chaos
