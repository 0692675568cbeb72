#include "tests/stand_ins/autoscaler.hpp"

#include <algorithm>

#include "tests/common/test_certificates.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostRecords =
    100'000;  // a report per second for a day: longer than anything that runs here
constexpr std::chrono::seconds kLongestWait{30};  // of a long poll: below the tests' own timeouts

}  // namespace

Autoscaler::Autoscaler(asio::io_context& io, const std::string& key_file, const std::string& log_file)
    : io_(io), signer_(key_file), recorded_(io) {
  recorded_.expires_at(asio::steady_timer::time_point::max());
  if (!log_file.empty()) log_.open(log_file, std::ios::app);
}

Awaitable<> Autoscaler::serve(Exchange& exchange) {
  const std::string& path = exchange.request.path;
  const std::string call = exchange.request.method + " " + path;
  if (co_await fails(exchange)) co_return;
  if (call == "GET /pubkey/") {
    const std::string pem = signer_.public_key_pem();
    co_await exchange.answer(200, "text/plain", pem);
  } else if (call == "POST /route/") {
    co_await route(exchange);
  } else if (call == "POST /sign_cert/") {
    co_await sign_certificate(exchange);
  } else if (call == "POST /worker_status/") {
    co_await record(exchange, reports_);
  } else if (call == "POST /delete_requests/") {
    co_await record(exchange, deletes_);
  } else if (call == "GET /reports" || call == "GET /reports/wait") {
    co_await list(exchange, reports_, path.ends_with("wait"));
  } else if (call == "GET /deletes" || call == "GET /deletes/wait") {
    co_await list(exchange, deletes_, path.ends_with("wait"));
  } else if (call == "POST /rotate_key") {
    signer_ = RouteSigner("");
    const ordered_json nothing = ordered_json::object();
    co_await answer(exchange, 200, nothing);
  } else if (call == "POST /fail") {
    const auto body = nlohmann::json::parse(exchange.request.body, nullptr, false);
    const bool understood = body.is_object() && body.contains("path");
    if (understood) failures_[body["path"]] = {body.value("times", 1), body.value("status", 500)};
    const ordered_json nothing = ordered_json::object();
    co_await answer(exchange, understood ? 200 : 422, nothing);
  } else {
    const ordered_json error{{"error", "no such call: " + call}};
    co_await answer(exchange, 404, error);
  }
}

Awaitable<bool> Autoscaler::fails(Exchange& exchange) {
  const auto failure = failures_.find(exchange.request.path);
  if (failure == failures_.end() || failure->second.times == 0) co_return false;
  --failure->second.times;
  const ordered_json error{{"error", "failing because a test asked for it"}};
  if (failure->second.status == 0) exchange.outcome = "broken";
  if (failure->second.status != 0) co_await answer(exchange, failure->second.status, error);
  co_return true;
}

Awaitable<> Autoscaler::answer(Exchange& exchange, int status, const ordered_json& body) {
  const std::string text = body.dump();
  co_await exchange.answer(status, "application/json", text);
}

Awaitable<> Autoscaler::route(Exchange& exchange) {
  const auto asked = ordered_json::parse(exchange.request.body, nullptr, false);
  ordered_json answered;
  int status = 200;
  if (!asked.is_object() || !asked.contains("endpoint") || !asked.contains("cost")) {
    status = 422;
    answered = {{"error", "cannot sign a route: 'endpoint' and 'cost' are needed"}};
  } else if (worker_url_.empty() && !asked.contains("url")) {
    status = 503;
    answered = {{"error", "cannot sign a route: no worker has reported yet"}};
  } else {
    answered = {{"url", asked.value("url", worker_url_)},
                {"reqnum", asked.contains("reqnum") ? asked["reqnum"] : ordered_json(++reqnum_)},
                {"cost", asked["cost"]},
                {"endpoint", asked["endpoint"]}};
    const bool only_url = asked.value("covers", "full") == "url";
    answered["signature"] = signer_.sign(signed_text(answered, only_url));
    answered["request_idx"] =
        asked.contains("request_idx") ? asked["request_idx"] : ordered_json(++request_idx_);
  }
  co_await answer(exchange, status, answered);
}

Awaitable<> Autoscaler::sign_certificate(Exchange& exchange) {
  std::string certificate;
  try {
    certificate = sign_request(exchange.request.body, {.name = "signed"});
  } catch (const std::runtime_error&) {
  }
  const ordered_json error{{"error", "cannot sign: no certificate request"}};
  if (certificate.empty())
    co_await answer(exchange, 422, error);
  else
    co_await exchange.answer(200, "application/x-pem-file", certificate);
}

Awaitable<> Autoscaler::record(Exchange& exchange, nlohmann::json& list) {
  auto body = nlohmann::json::parse(exchange.request.body, nullptr, false);
  const ordered_json error{{"error", "cannot read the report: no JSON object"}};
  if (!body.is_object()) {
    co_await answer(exchange, 422, error);
    co_return;
  }
  log(exchange.request.path, body);
  if (body.contains("url") && body["url"].is_string()) worker_url_ = body["url"];
  if (list.size() < kMostRecords) list.push_back(std::move(body));
  recorded_.cancel();
  const ordered_json nothing = ordered_json::object();
  co_await answer(exchange, 200, nothing);
}

Awaitable<> Autoscaler::list(Exchange& exchange, const nlohmann::json& list, bool wait) {
  const std::string after = exchange.request.query("after");
  const std::size_t known = after.empty() ? 0 : std::strtoull(after.c_str(), nullptr, 10);
  asio::steady_timer limit(io_);
  limit.expires_after(kLongestWait);
  bool in_time = true;
  while (wait && in_time && list.size() <= known) {
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (recorded_.async_wait(kTuple) || limit.async_wait(kTuple));
    in_time = first.index() == 0;
  }
  const std::string text = list.dump();
  co_await exchange.answer(200, "application/json", text);
}

void Autoscaler::log(const std::string& path, nlohmann::json body) {
  if (!log_.is_open()) return;
  if (body.contains("mtoken")) body["mtoken"] = "***";
  log_ << nlohmann::json{{"path", path}, {"body", body}}.dump() << std::endl;
}

}  // namespace cppworker::stand_ins
