#include "common/worker_state.hpp"

#include <array>
#include <utility>
#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 4> kPhases = {"loading", "ready", "unhealthy", "draining"};
constexpr std::array<std::string_view, 6> kNotices = {
    "serving", "signatures_failing", "drained", "update_requested", "alive", "tell_others"};

template <class Enum, std::size_t N>
Result<Enum> find_name(const std::array<std::string_view, N>& names, const json& value) {
  for (std::size_t i = 0; i < N; ++i)
    if (value.is_string() && value.get_ref<const std::string&>() == names[i]) return static_cast<Enum>(i);
  return fail("cannot understand a control message: unknown name");
}

}  // namespace

std::string_view phase_name(ModelPhase phase) {
  return kPhases[static_cast<std::size_t>(phase)];
}

std::string encode(const WorkerState& state) {
  json message = {{"model", phase_name(state.phase)}, {"public_keys", state.public_keys},
                  {"max_perf", state.max_perf},       {"certificate", state.certificate},
                  {"private_key", state.private_key}, {"update_digest", state.update_digest},
                  {"retiring", state.retiring},       {"load_seconds", state.load_seconds}};
  return message.dump() + "\n";
}

Result<WorkerState> decode_state(std::string_view line) {
  json message = json::parse(line.begin(), line.end(), nullptr, false);
  if (!message.is_object() || !message.contains("public_keys") || !message["public_keys"].is_array())
    return fail("cannot understand a control message: no worker state");
  auto phase = find_name<ModelPhase>(kPhases, message.value("model", json()));
  if (!phase) return phase.error();
  WorkerState state;
  state.phase = *phase;
  json certificate = message.value("certificate", json());
  json private_key = message.value("private_key", json());
  json max_perf = message.value("max_perf", json());
  json load_seconds = message.value("load_seconds", json());
  json update_digest = message.value("update_digest", json());
  if (!certificate.is_string() || !private_key.is_string() || !max_perf.is_number() ||
      !load_seconds.is_number() || !update_digest.is_string())
    return fail(
        "cannot understand a control message: no certificate, max_perf, load_seconds or update_digest");
  state.update_digest = update_digest.get<std::string>();
  json retiring = message.value("retiring", json(false));
  if (!retiring.is_boolean())
    return fail("cannot understand a control message: retiring isn't true or false");
  state.retiring = retiring.get<bool>();
  state.certificate = certificate.get<std::string>();
  state.private_key = private_key.get<std::string>();
  state.max_perf = max_perf.get<double>();
  state.load_seconds = load_seconds.get<double>();
  for (const json& key : message["public_keys"]) {
    if (!key.is_string()) return fail("cannot understand a control message: a public key isn't text");
    state.public_keys.push_back(key.get<std::string>());
  }
  return state;
}

std::string encode(ProxyNotice notice) {
  return json{{"notice", kNotices[static_cast<std::size_t>(notice)]}}.dump() + "\n";
}

Result<ProxyNotice> decode_notice(std::string_view line) {
  json message = json::parse(line.begin(), line.end(), nullptr, false);
  if (!message.is_object()) return fail("cannot understand a control message: no object");
  return find_name<ProxyNotice>(kNotices, message.value("notice", json()));
}

}  // namespace cppworker
