#include "told.hpp"

#include <algorithm>
#include <map>

#include "common/logging.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

constexpr std::size_t kMostSentences = 20;

// Refusals with a status of those that count as load, which came before anybody knew whose load it is.
constexpr std::string_view kKnownByNobody[] = {"public key isn't here", "request bodies at once",
                                               "books are locked"};

// How often the autoscaler may hear of a request's end. Inside a session requests share a request_idx, so the
// figures of several may be added.
struct Telling {
  int least = 0, most = 0;
  int successes = 0, failures = 0;  // at most

  Telling& operator+=(const Telling& other) {
    least += other.least;
    most += other.most;
    successes += other.successes;
    failures += other.failures;
    return *this;
  }
};

constexpr Telling kNever{0, 0, 0, 0};
constexpr Telling kSuccess{1, 1, 1, 0};
constexpr Telling kFailure{1, 1, 0, 1};
constexpr Telling kEither{1, 1, 1, 1};
constexpr Telling kUnknown{0, 1, 1, 1};

// One that was let in, or for whose load there was no room.
bool is_load(const Result& refused) {
  const bool status = refused.status == 429 || refused.status == 424 || refused.status >= 500;
  return status && std::ranges::none_of(kKnownByNobody, [&](std::string_view words) {
           return refused.detail.find(words) != std::string::npos;
         });
}

// `proxy_died`, `server_died`: about that time, so that the client doesn't know how far its request was.
Telling expected(const Result& result, bool proxy_died, bool server_died) {
  switch (result.outcome) {
    case Outcome::kServed:
      // The last byte was with the client before the end was in the books.
      return proxy_died ? kEither : kSuccess;
    case Outcome::kLeft:
      // Cancelled is a success. Who left without a byte may have left before the request was read.
      if (!result.begun || proxy_died) return kUnknown;
      return server_died ? kEither : kSuccess;
    case Outcome::kRefused:
      if (!is_load(result)) return kNever;
      return proxy_died ? kUnknown : kFailure;
    case Outcome::kCut:
      return proxy_died ? kEither : kFailure;
    case Outcome::kLost:
    case Outcome::kUnclear:
      break;
  }
  return kUnknown;
}

bool any(const std::vector<Happening>& happenings, const Result& result, bool Tolerance::*what) {
  return std::ranges::any_of(happenings, [&](const Happening& each) {
    return overlap(each, result) && each.fault->tolerated.*what;
  });
}

using Tellings = std::map<std::int64_t, Telling>;

Tellings expected_of(const std::vector<Result>& sent, const std::vector<Happening>& happenings) {
  Tellings tellings;
  for (const Result& result : sent)
    if (result.request_idx)
      tellings[*result.request_idx] += expected(result, any(happenings, result, &Tolerance::lost),
                                                any(happenings, result, &Tolerance::cut));
  return tellings;
}

struct Told {
  int successes = 0, failures = 0;
};

std::map<std::int64_t, Told> told_of(const json& deletes) {
  std::map<std::int64_t, Told> told;
  for (const json& one : deletes)
    for (const json& idx : one.at("request_idxs"))
      ++(one.at("success").get<bool>() ? told[idx.get<std::int64_t>()].successes
                                       : told[idx.get<std::int64_t>()].failures);
  return told;
}

// `again`: how often a supervisor was killed, which may have sent what it no longer could note as sent.
std::vector<std::string> wrongly_told(const Tellings& tellings, const json& deletes, int again) {
  std::vector<std::string> wrong;
  const auto told = told_of(deletes);
  const auto complain = [&](std::int64_t idx, const std::string& what) {
    const auto found = told.find(idx);
    const Told heard = found == told.end() ? Told{} : found->second;
    if (wrong.size() < kMostSentences)
      wrong.push_back("request " + std::to_string(idx) + " " + what + ": the autoscaler heard of " +
                      std::to_string(heard.successes) + " successes and " + std::to_string(heard.failures) +
                      " failures");
  };
  for (const auto& [idx, telling] : tellings) {
    const auto found = told.find(idx);
    const Told heard = found == told.end() ? Told{} : found->second;
    const int times = heard.successes + heard.failures;
    if (times < telling.least) complain(idx, "has ended, and isn't known to have");
    if (times > telling.most + (telling.most > 0 ? again : 0))
      complain(idx, telling.most > 0 ? "has ended more than once" : "was never let in");
    else if (heard.successes > telling.successes + (telling.successes > 0 ? again : 0))
      complain(idx, "was no success");
    else if (heard.failures > telling.failures + (telling.failures > 0 ? again : 0))
      complain(idx, "was no failure");
  }
  for (const auto& [idx, heard] : told)
    if (!tellings.contains(idx)) complain(idx, "was never sent");
  return wrong;
}

}  // namespace

std::vector<std::string> check_told(World& world, const std::vector<Happening>& happenings) {
  const Tellings tellings = expected_of(world.sent.all(), happenings);
  std::vector<std::string> wrong;
  testing::eventually([&] {
    wrong = wrongly_told(tellings, world.autoscaler.deletes(), world.supervisors() - 1);
    return wrong.empty();
  });
  if (std::ranges::none_of(tellings, [](const auto& each) { return each.second.least > 0; }))
    wrong.push_back("nothing has ended of which the autoscaler should hear: this run proves nothing");
  return wrong;
}

}  // namespace cppworker::chaos
