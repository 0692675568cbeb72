#include "load.hpp"

#include <boost/beast/http.hpp>

#include "tls_exchange.hpp"

namespace cppworker::chaos {
namespace {

namespace http = boost::beast::http;
using nlohmann::json;

// Every kind of request has a client; few enough that two cores aren't the fault that is tested.
constexpr unsigned kClients = 6;
// Between two requests of a client.
constexpr std::chrono::milliseconds kPause{30};
// Of an answer, in the list of what failed.
constexpr std::size_t kDetail = 200;

std::string request_of(World& world, const Asking& asking) {
  const json payload = {{"inputs", asking.prompt}, {"parameters", {{"max_new_tokens", 7}}}};
  const json route =
      world.autoscaler.route({{"url", kUrl}, {"covers", asking.url_only ? "url" : "full"}, {"cost", 7}});
  json body;
  if (asking.wrapped) {
    body = {{"auth_data", route}, {"payload", payload}};
  } else {
    body = payload;
    body.update(route);
    body.erase("request_idx");  // the oldest shape has none (protocol section 2)
  }
  const std::string text = body.dump();
  return "POST " + std::string(asking.stream ? "/generate_stream" : "/generate") +
         " HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\nContent-Type: application/json\r\n"
         "Content-Length: " +
         std::to_string(text.size()) + "\r\n\r\n" + text;
}

bool is_right(const Asking& asking, const std::string& body) {
  if (asking.stream)  // only the last event has the whole text
    return body.find("\"generated_text\":\" token1") != std::string::npos &&
           body.find("{\"error\"") == std::string::npos;
  const json answer = json::parse(body, nullptr, false);
  return answer.is_object() && answer.contains("generated_text");
}

// To come again is the only thing to be done about these (protocol section 3).
bool says_when(const http::response<http::string_body>& answer) {
  const bool must = answer.result_int() == 503 || answer.result_int() == 429;
  return !must || answer.count(http::field::retry_after) == 1;
}

// Fills in outcome and status.
void judge(const Asking& asking, const Exchange& seen, Result& result) {
  result.outcome = Outcome::kUnclear;
  result.detail = (seen.timed_out ? "no end came: " : "") + seen.bytes.substr(0, kDetail);
  if (seen.timed_out) return;
  result.outcome = Outcome::kLost;
  if (seen.bytes.empty()) return;

  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(boost::none);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(seen.bytes), error);
  if (parser.is_header_done()) result.status = static_cast<int>(parser.get().result_int());
  if (!parser.is_done()) {
    result.outcome = !error || error == http::error::need_more ? Outcome::kCut : Outcome::kUnclear;
    return;
  }
  const std::string& body = parser.get().body();
  const json why = json::parse(body, nullptr, false);
  if (result.status == 200)
    result.outcome = is_right(asking, body) ? Outcome::kServed : Outcome::kUnclear;
  else
    result.outcome = why.is_object() && why.contains("error") && says_when(parser.get()) ? Outcome::kRefused
                                                                                         : Outcome::kUnclear;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kServed:
      return "served";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kCut:
      return "cut";
    case Outcome::kLost:
      return "lost";
    case Outcome::kUnclear:
      break;
  }
  return "unclear";
}

Result ask(World& world, const Asking& asking) {
  const std::string request = request_of(world, asking);
  Result result;
  result.began = Clock::now();
  const Exchange seen = exchange(world.worker.port(), request);
  result.ended = Clock::now();
  judge(asking, seen, result);
  return result;
}

Load::Load(World& world) : world_(world) {
  for (unsigned client = 0; client < kClients; ++client)
    clients_.emplace_back([this, client] { run(client); });
}

void Load::stop() {
  over_ = true;
  for (std::thread& client : clients_) client.join();
  clients_.clear();
}

void Load::run(unsigned client) {
  const Asking asking{.stream = client % 3 == 0, .wrapped = client % 2 == 0, .url_only = client % 4 == 2};
  while (!over_) {
    Result result = ask(world_, asking);
    ++counts_[static_cast<std::size_t>(result.outcome)];
    if (result.outcome != Outcome::kServed) {
      const std::lock_guard lock(mutex_);
      unserved_.push_back(std::move(result));
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace cppworker::chaos
