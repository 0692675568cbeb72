// The personality `tgi`: text-generation-inference 1.x or 3.x. Drops a request whose client leaves, answers
// 429 when its permits are out, drains on SIGTERM.

#include <time.h>

#include <nlohmann/json.hpp>

#include "tests/stand_ins/stage.hpp"
#include "tests/stand_ins/tgi_log.hpp"
#include "tests/stand_ins/wish.hpp"

namespace cppworker::stand_ins {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestBody = 2'000'000;               // TGI's payload-limit
constexpr std::chrono::seconds kDrainLimit{90};               // TGI's graceful-termination-timeout
constexpr std::chrono::milliseconds kHoldLimit{10 * 60'000};  // beyond any test

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

Json error_body(int status) {
  switch (status) {
    case 424:
      return {{"error", "Request failed during generation: Server error: CUDA error"},
              {"error_type", "generation"}};
    case 429:
      return {{"error", "Model is overloaded"}, {"error_type", "overloaded"}};
    case 500:
      return {{"error", "Incomplete generation"}, {"error_type", "incomplete_generation"}};
    case 503:
      return {{"error", "unhealthy"}, {"error_type", "healthcheck"}};
    default:
      return {{"error",
               "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1900 "
               "`inputs` tokens and 256 `max_new_tokens`"},
              {"error_type", "validation"}};
  }
}

class Tgi : public Stage {
 public:
  Tgi(asio::io_context& io, const Settings& settings)
      : Stage(io, settings, kLargestBody), tgi_log_(settings.tgi_version, settings.json_log) {}

 private:
  bool handles_term() const override { return true; }

  Awaitable<> start() override {
    print_arguments();
    start_shards();
    tgi_log_.launcher("Starting check and download process for stand-in/model");
    tgi_log_.launcher("Download file: model.safetensors");
    co_await download();
    tgi_log_.launcher("Starting shard");
    co_await phase("load");
    co_await load();
    tgi_log_.launcher("Shard ready in 5.607799614s");
    tgi_log_.launcher("Starting Webserver");
    tgi_log_.router("Warming up model");
    co_await phase("warmup");
    co_await warm_up();
    tgi_log_.router("Setting max batch total tokens to 16000");
    if (gets_ready()) tgi_log_.router("Connected");  // TGI says so before it binds
    co_await bind_gap();
    if (settings_.bind_fail || open()) fail_to_bind();
    co_await phase("ready");
  }

  // From 2.0.2 on the arguments span lines: in the text format they really do.
  void print_arguments() {
    const std::string port = std::to_string(settings_.port);
    if (settings_.tgi_version == 1) {
      return tgi_log_.launcher("Args { model_id: \"stand-in/model\", max_total_tokens: 2048, port: " + port +
                               " }");
    }
    tgi_log_.launcher(
        "Args {\n    model_id: \"stand-in/model\",\n    max_total_tokens: Some(\n        2048,\n    ),\n" +
        ("    port: " + port + ",\n}"));
  }

  [[noreturn]] void fail_to_bind() {
    tgi_log_.launcher("Webserver Crashed", "ERROR");
    print_error("Error: WebserverFailed");
    std::_Exit(1);
  }

  Awaitable<> stop() override {
    tgi_log_.launcher("Terminating webserver");
    tgi_log_.launcher("Waiting for webserver to gracefully shutdown");
    tgi_log_.router("signal received, starting graceful shutdown");
    co_await server_.drain(kDrainLimit);
    tgi_log_.launcher("webserver terminated");
    tgi_log_.launcher("Shutting down shards");
    co_await stop_shards();
    tgi_log_.launcher("Shard terminated");
  }

  Awaitable<> handle(Exchange& exchange) override {
    const std::string& path = exchange.request.path;
    const bool posts = path == "/generate" || path == "/generate_stream";
    const bool gets = path == "/health" || path == "/info" || path == "/metrics";
    const std::string nothing;
    if (!posts && !gets) {
      co_await exchange.answer(404, "", nothing);
    } else if (exchange.request.method != (posts ? "POST" : "GET")) {
      co_await exchange.answer(405, "", nothing);
    } else if (posts) {
      co_await generate(exchange, path == "/generate_stream");
    } else if (path == "/health") {
      const std::string unwell = error_body(503).dump();
      if (healthy_) co_await exchange.answer(200, "", nothing);
      if (!healthy_) co_await exchange.answer(503, "application/json", unwell);
    } else {
      const std::string metrics = "# TYPE tgi_queue_size gauge\ntgi_queue_size 0\n";
      const std::string info = Json{{"model_id", "stand-in/model"}, {"max_total_tokens", 2048}}.dump();
      if (path == "/info") co_await exchange.answer(200, "application/json", info);
      if (path == "/metrics") co_await exchange.answer(200, "text/plain; version=0.0.4", metrics);
    }
  }

  Awaitable<> generate(Exchange& exchange, bool streamed) {
    const Json body = Json::parse(exchange.request.body, nullptr, false);
    if (body.is_discarded()) {
      const std::string why = "Failed to parse the request body as JSON: EOF while parsing";
      co_await exchange.answer(400, "text/plain; charset=utf-8", why);
      co_return;
    }
    if (!body.is_object() || !body.contains("inputs") || !body["inputs"].is_string()) {
      const std::string why =
          "Failed to deserialize the JSON body into the target type: missing field `inputs` at line 1 column "
          "2";
      co_await exchange.answer(422, "text/plain; charset=utf-8", why);
      co_return;
    }
    if (log_.working() >= settings_.permits) {
      tgi_log_.request_error("no permits available");
      co_await fail(exchange, streamed, 429);
      co_return;
    }
    const RequestLog::Working working(log_);
    const auto began = std::chrono::steady_clock::now();
    const Wish wish = read_wish(body["inputs"].get<std::string>());
    if (streamed) co_await stream(exchange, wish);
    if (!streamed) co_await answer(exchange, wish);
    if (exchange.outcome != "answered" || wish.is("error")) co_return;  // TGI logs no Success then
    const auto took = std::chrono::steady_clock::now() - began;
    tgi_log_.success(streamed ? "generate_stream" : "generate", settings_.events, took);
  }

  // A stream's errors are events of a 200.
  Awaitable<> fail(Exchange& exchange, bool streamed, int status) {
    const std::string body = error_body(status).dump();
    if (!streamed) {
      co_await exchange.answer(status, "application/json", body);
      co_return;
    }
    const std::string event = data() + body + "\n\n";
    co_await begin(exchange);
    co_await exchange.send_chunk(event);
    co_await exchange.end_stream();
  }

  // False when the client left meanwhile; TGI drops its request then.
  Awaitable<bool> hold_or_sleep(Exchange& exchange, const Wish& wish) {
    if (wish.is("hold")) {
      co_return co_await wait_for_release(exchange, kHoldLimit);
    }
    const std::chrono::milliseconds pause =
        wish.is("sleep") ? std::chrono::milliseconds(wish.number()) : settings_.answer;
    co_return co_await exchange.pause(pause);
  }

  Awaitable<> answer(Exchange& exchange, const Wish& wish) {
    if (!co_await hold_or_sleep(exchange, wish)) co_return;
    if (wish.is("drip")) exchange.drip = std::chrono::milliseconds(wish.number());
    if (wish.is("error", "break") || wish.is("error", "cut")) {
      const std::string half =
          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
          "1000\r\n\r\n{\"generated_text\":\"half";
      co_await exchange.send_raw(half);
      co_await sleep_for(settings_.answer);  // a reset would take unread bytes with it
      if (wish.is("error", "break")) exchange.break_off();
      if (wish.is("error", "cut")) exchange.cut_off();
      co_return;
    }
    if (wish.is("error")) {
      tgi_log_.request_error(error_body(wish.number())["error"]);
      co_await fail(exchange, false, wish.is("error", "event") ? 424 : wish.number());
      co_return;
    }
    const std::string text = wish.is("size") ? std::string(wish.number(), 'x') : all_tokens();
    const Json json{{"generated_text", text}};
    const std::string body = json.dump();
    const Headers headers{{"x-compute-type", "gpu+optimized"},
                          {"x-generated-tokens", std::to_string(settings_.events)}};
    co_await exchange.answer(200, "application/json", body, headers);
  }

  Awaitable<> stream(Exchange& exchange, const Wish& wish) {
    const bool ends_early = wish.is("error", "break") || wish.is("error", "cut");
    if (wish.is("error") && !ends_early) {
      co_await fail(exchange, true, wish.is("error", "event") ? 424 : wish.number());
      co_return;
    }
    if (!co_await begin(exchange)) co_return;
    bool stays = true;
    if (wish.is("hold")) stays = co_await hold_with_comments(exchange);
    if (wish.is("sleep")) stays = co_await hold_or_sleep(exchange, wish);
    if (!stays) co_return;
    for (int i = 1; i <= settings_.events; ++i) {
      if (ends_early && i > settings_.events / 2) {
        if (wish.is("error", "break")) exchange.break_off();
        if (wish.is("error", "cut")) exchange.cut_off();
        co_return;
      }
      if (!co_await exchange.pause(settings_.event_interval)) co_return;
      const std::string event = data() + token_event(i) + "\n\n";
      if (!co_await exchange.send_chunk(event)) co_return;
    }
    co_await exchange.end_stream();
  }

  // TGI breaks the silence of a stream with comments.
  Awaitable<bool> hold_with_comments(Exchange& exchange) {
    const std::string comment = ":\n\n";
    while (exchange.outcome == "open") {
      const bool released = co_await wait_for_release(exchange, settings_.keep_alive);
      if (released) co_return true;
      if (exchange.outcome == "open") co_await exchange.send_chunk(comment);
    }
    co_return false;
  }

  Awaitable<bool> begin(Exchange& exchange) {
    const Headers headers{
        {"content-type", "text/event-stream"}, {"cache-control", "no-cache"}, {"x-accel-buffering", "no"}};
    co_return co_await exchange.begin_stream(headers);
  }

  std::string data() const { return settings_.tgi_version == 1 ? "data:" : "data: "; }

  static std::string token(int number) { return " token" + std::to_string(number); }

  std::string all_tokens() const {
    std::string text;
    for (int i = 1; i <= settings_.events; ++i) text += token(i);
    return text;
  }

  std::string token_event(int number) const {
    Json event = Json::object();
    if (settings_.tgi_version != 1) event["index"] = number;
    event["token"] = {{"id", 1000 + number}, {"text", token(number)}, {"logprob", -0.5}, {"special", false}};
    event["generated_text"] = number == settings_.events ? Json(all_tokens()) : Json();
    event["details"] = nullptr;
    event["sent_ns"] = monotonic_ns();  // ours: by it a test can tell how long an event was under way
    return event.dump();
  }

  const TgiLog tgi_log_;
};

}  // namespace

std::unique_ptr<Stage> make_tgi(asio::io_context& io, const Settings& settings) {
  return std::make_unique<Tgi>(io, settings);
}

}  // namespace cppworker::stand_ins
