// Auth fields in a WebSocket's query: what comes out is JSON that the envelope understands, and what goes on
// has no auth field in it.
#include <nlohmann/json.hpp>

#include "proxy/envelope.hpp"
#include "proxy/query_auth.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {

void check_input(std::string_view input) {
  auto auth = take_query_auth(input);
  if (!auth) {
    require(nlohmann::json::accept(auth.error().body), "a refusal's body is JSON");
    return;
  }
  require(auth->target.size() <= input.size(), "nothing is added to the target");
  require(auth->target.substr(0, auth->target.find('?')) == input.substr(0, input.find('?')),
          "the path stays as it is");
  auto again = take_query_auth(auth->target);
  require(again && !again->given && again->target == auth->target, "nothing of it is left in the target");
  auto envelope = parse_envelope(auth->envelope());
  if (!envelope)
    require(
        envelope.error().fault == EnvelopeFault::kMissing || envelope.error().fault == EnvelopeFault::kWrong,
        "the envelope is good JSON, each member there once");
  nlohmann::json members = nlohmann::json::parse(auth->auth_data, nullptr, false);
  require(!auth->given || members.contains("signature") || members.is_discarded(), "a signature is one");
}

}  // namespace cppworker::fuzz
