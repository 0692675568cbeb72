#include "load.hpp"

#include <algorithm>

#include "judging.hpp"
#include "session_visit.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// Of every shape that a request has (protocol section 2). With the others below they are few enough that two
// cores aren't the fault that is tested.
constexpr unsigned kOrdinaryClients = 6;
// Between two requests of a client; those that are a burden ask less often.
constexpr milliseconds kPause{30}, kLongPause{400};
// Before the first byte: of an answer that takes longer, and of streams, of which some wait for their turn.
constexpr milliseconds kLeavesServer{150}, kLeavesQueue{40};
// The head of a stream and a few of its events.
constexpr std::size_t kLeavesStreamWith = 1000;
// Below the highest reqnum that was accepted, where signatures are too old.
constexpr std::int64_t kWindow = 100;
// TGI takes 2'000'000 bytes at the most.
constexpr std::size_t kBigBody = 1'900'000;
// Read in a second or two.
constexpr char kBigAnswer[] = "size:1000000";
constexpr milliseconds kBetweenSlowReads{20};

json route_of(World& world, const Asking& asking) {
  if (!asking.route.is_null()) return asking.route;
  return world.autoscaler.route({{"url", kUrl}, {"covers", asking.url_only ? "url" : "full"}, {"cost", 7}});
}

json body_of(const Asking& asking, const json& route) {
  const json payload = {{"inputs", asking.prompt}, {"parameters", {{"max_new_tokens", 7}}}};
  if (!asking.session.empty())
    return {{"auth_data", route}, {"session_id", asking.session}, {"payload", payload}};
  if (asking.wrapped) return {{"auth_data", route}, {"payload", payload}};
  json body = payload;
  body.update(route);
  body.erase("request_idx");  // the oldest shape has none (protocol section 2)
  return body;
}

bool is_right(const Asking& asking, const std::string& body) {
  if (asking.stream)  // only the last event has the whole text
    return body.find("\"generated_text\":\" token1") != std::string::npos &&
           body.find("{\"error\"") == std::string::npos;
  const json answer = json::parse(body, nullptr, false);
  return answer.is_object() && answer.contains("generated_text");
}

struct Signed {
  std::string text;
  std::int64_t reqnum = 0;
  std::optional<std::int64_t> request_idx;
};

Signed sign(World& world, const Asking& asking) {
  const json route = route_of(world, asking);
  const std::string target = asking.stream ? "/generate_stream" : "/generate";
  Signed request{post_text(target, body_of(asking, route).dump()), route.at("reqnum"), std::nullopt};
  if (asking.wrapped) request.request_idx = route.at("request_idx").get<std::int64_t>();
  return request;
}

Result send(World& world, const Asking& asking, const Signed& request) {
  const auto right = [&](int status, const std::string& body) {
    return status == 200 && is_right(asking, body);
  };
  Result result = judged_exchange(world, request.text, asking.manner, right).result;
  result.request_idx = request.request_idx;
  world.sent.add(result);
  return result;
}

// Refused as it must be (protocol section 2): this machine was so busy that a hundred were routed and sent
// between its route and its sending.
bool came_late(World& world, const Signed& request, const Result& result) {
  if (result.status != 401 || result.detail.find("is too old") == std::string::npos) return false;
  const std::int64_t newest = world.autoscaler.route({{"url", kUrl}}).at("reqnum");
  return newest - request.reqnum > kWindow;
}

}  // namespace

Result ask(World& world, const Asking& asking) {
  while (true) {
    const Signed request = sign(world, asking);
    const Result result = send(world, asking, request);
    if (!came_late(world, request, result)) return result;
  }
}

std::string spent_request(World& world) {
  const Asking asking;
  const Signed request = sign(world, asking);
  return send(world, asking, request).outcome == Outcome::kServed ? request.text : "";
}

bool refuses_replay(World& world, const std::string& spent) {
  return judged_exchange(world, spent, {}, [](int, const std::string&) { return true; }).result.status == 401;
}

Load::Load(World& world) : world_(world) {
  const auto start = [this](const Asking& asking, milliseconds pause) {
    clients_.emplace_back([this, asking, pause] { go_on_asking(asking, pause); });
  };
  for (unsigned client = 0; client < kOrdinaryClients; ++client)
    start({.stream = client % 3 == 0, .wrapped = client % 2 == 0, .url_only = client % 4 == 2}, kPause);
  start({.prompt = "sleep:500", .manner = {.leaves_after = kLeavesServer}}, kLongPause);
  start({.stream = true, .url_only = true, .manner = {.leaves_after = kLeavesQueue}}, kPause);
  start({.stream = true, .manner = {.leaves_with = kLeavesStreamWith}}, kPause);
  start({.stream = true, .prompt = std::string(kBigBody, 'x')}, kLongPause);
  start({.prompt = kBigAnswer, .manner = {.between_reads = kBetweenSlowReads}}, kLongPause);
  clients_.emplace_back([this] { go_on_visiting(); });
}

void Load::stop() {
  over_ = true;
  for (std::thread& client : clients_) client.join();
  clients_.clear();
}

void Load::go_on_asking(Asking asking, milliseconds pause) {
  while (!over_) {
    note(ask(world_, asking));
    std::this_thread::sleep_for(pause);
  }
}

void Load::go_on_visiting() {
  while (!over_) {
    visit(world_, [this](const Result& result) { note(result); });
    std::this_thread::sleep_for(kLongPause);
  }
}

void Load::note(const Result& result) {
  ++counts_[static_cast<std::size_t>(result.outcome)];
  if (!is_failure(result.outcome)) return;
  const std::lock_guard lock(mutex_);
  failed_.push_back(result);
}

}  // namespace cppworker::chaos
