#include "proxy/update_route.hpp"

#include "common/logging.hpp"
#include "common/token_digest.hpp"

namespace cppworker {
namespace {

// Of "Authorization: Bearer <token>"; empty when there is no such header, or more than one.
std::string_view bearer_token(const RequestHead& head) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view value = head.only(HeaderName::kAuthorization).value_or("");
  if (value.size() <= kScheme.size() ||
      !boost::beast::iequals({value.data(), kScheme.size()}, {kScheme.data(), kScheme.size()}))
    return {};
  return value.substr(kScheme.size());
}

}  // namespace

Refusal request_update(const RequestHead& head, ProxyThread& thread) {
  std::string_view token = bearer_token(head);
  if (token.empty() || !is_token_of(thread.live.update_digest, token)) {
    thread.core.ledger.count(Counter::kUpdatesRefused);
    return refuse(401, "proxy: not the master token");
  }
  thread.core.ledger.count(Counter::kUpdatesAccepted);
  thread.core.ask_for_update();
  Refusal done;
  done.status = 200;
  done.body = R"({"ok":true})";
  return done;
}

}  // namespace cppworker
