// The newer `ooba`: text-generation-webui with --api, from November 2023 to March 2026. An OpenAI-compatible
// server on uvicorn: SSE with CRLF, pings while it is silent, no [DONE] at the end; one generation at a time;
// only for hosts that are this machine, unless --listen is given.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/stand_ins/serial_lock.hpp"
#include "tests/stand_ins/stage.hpp"
#include "tests/stand_ins/wish.hpp"

namespace cppworker::stand_ins {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestBody = 64 << 20;  // uvicorn has no limit; tests need one
constexpr std::chrono::seconds kDrainLimit{60};
constexpr std::chrono::seconds kLongestHold{60};  // longer than any test
constexpr char kJson[] = "application/json";

class OobaOpenai : public Stage {
 public:
  OobaOpenai(asio::io_context& io, const Settings& settings)
      : Stage(io, settings, kLargestBody),
        listens_(std::count(settings.args.begin(), settings.args.end(), "--listen") > 0) {}

 private:
  bool handles_term() const override { return true; }

  Awaitable<> stop() override {
    print_error("Received Ctrl+C. Shutting down TextGen gracefully.");
    co_await server_.drain(kDrainLimit);
    co_await stop_shards();
  }

  Awaitable<> start() override {
    start_shards();
    log("Loading \"" + settings_.model + "\"");
    co_await download();
    co_await phase("load");
    co_await load();
    co_await phase("warmup");
    co_await warm_up();
    if (gets_ready()) log("Loaded \"" + settings_.model + "\" in 8.05 seconds.");
    co_await bind_gap();
    if (settings_.bind_fail || open()) {
      print_error("OSError: [Errno 98] Address already in use");
      std::_Exit(1);
    }
    log("OpenAI-compatible API URL:\n\nhttp://127.0.0.1:" + std::to_string(server_.port()) + "\n");
    co_await phase("ready");
  }

  static void log(const std::string& message) { print_error("12:00:01-123456 INFO     " + message); }

  bool is_own_host(const Request& request) const {
    const std::string* host = request.header("host");
    const std::string name = host == nullptr ? "" : host->substr(0, host->find(':'));
    return listens_ || name == "localhost" || name == "127.0.0.1";
  }

  Awaitable<> handle(Exchange& exchange) override {
    const std::string call = exchange.request.method + " " + exchange.request.path;
    int status = healthy_ ? 200 : 500;
    Json body{{"detail", "Not Found"}};
    if (!is_own_host(exchange.request)) {
      status = 400;
      body = {{"detail", "Invalid host header"}};
    } else if (call == "POST /v1/completions" || call == "POST /v1/chat/completions") {
      status = co_await complete(exchange, body);
    } else if (call == "POST /v1/internal/stop-generation") {
      stopped_ = true;
      release();
      body = "OK";
    } else if (call == "GET /v1/models") {
      const Json model{{"id", settings_.model}, {"object", "model"}};
      body = {{"object", "list"}, {"data", Json::array({model})}};
    } else if (call == "GET /v1/internal/model/info") {
      body = {{"model_name", settings_.model}, {"lora_names", Json::array()}};
    } else if (call == "GET /v1/internal/health") {
      body = {{"status", "ok"}};
    } else {
      status = 404;
    }
    if (status == 0) co_return;  // streamed, or the client left
    const std::string text = body.dump();
    co_await exchange.answer(status, kJson, text);
  }

  static std::string prompt_of(const Json& body) {
    if (body.contains("prompt") && body["prompt"].is_string()) return body["prompt"].get<std::string>();
    if (!body.contains("messages") || !body["messages"].is_array() || body["messages"].empty()) return "";
    const Json& last = body["messages"].back();
    return last.is_object() ? last.value("content", "") : "";
  }

  // The status, with the body put into `answer`; 0 when nothing is left to answer.
  Awaitable<int> complete(Exchange& exchange, Json& answer) {
    const Json body = Json::parse(exchange.request.body, nullptr, false);
    if (!body.is_object() || !(body.contains("prompt") || body.contains("messages"))) {
      const Json detail{{"loc", {"body", "prompt"}}, {"msg", "Field required"}, {"type", "missing"}};
      answer = {{"detail", Json::array({detail})}};
      co_return 422;
    }
    const Wish wish = read_wish(prompt_of(body));
    const int tokens = std::max(0, std::min(settings_.events, body.value("max_tokens", settings_.events)));
    const bool chat = exchange.request.path.find("chat") != std::string::npos;
    const RequestLog::Working working(log_);
    co_await lock_.lock();
    stopped_ = false;
    int status = 0;
    if (body.value("stream", false))
      co_await stream(exchange, wish, tokens, chat);
    else
      status = co_await whole(exchange, wish, tokens, chat, answer);
    lock_.unlock();
    co_return status;
  }

  static Json choice(const std::string& text, bool chat, bool streamed) {
    if (!chat) return {{"index", 0}, {"text", text}};
    return {{"index", 0}, {streamed ? "delta" : "message", {{"role", "assistant"}, {"content", text}}}};
  }

  Awaitable<int> whole(Exchange& exchange, const Wish& wish, int tokens, bool chat, Json& answer) {
    const auto pause = wish.is("sleep") ? std::chrono::milliseconds(wish.number()) : settings_.answer;
    if (wish.is("hold")) co_await wait_for_release(exchange, kLongestHold);
    if (!wish.is("hold")) co_await exchange.pause(pause);
    if (exchange.outcome != "open") co_return 0;
    if (wish.is("error")) {
      answer = {{"detail", "Internal Server Error"}};
      co_return wish.number() == 0 ? 500 : wish.number();
    }
    std::string text;
    for (int i = 1; i <= tokens; ++i) text += " token" + std::to_string(i);
    if (wish.is("size")) text.assign(static_cast<std::size_t>(wish.number()), 'x');
    if (wish.is("drip")) exchange.drip = std::chrono::milliseconds(wish.number());
    answer = {{"object", chat ? "chat.completion" : "text_completion"},
              {"choices", Json::array({choice(text, chat, false)})}};
    co_return 200;
  }

  Awaitable<> stream(Exchange& exchange, const Wish& wish, int tokens, bool chat) {
    const Headers headers{{"content-type", "text/event-stream; charset=utf-8"},
                          {"cache-control", "no-store"}};
    if (!co_await exchange.begin_stream(headers)) co_return;
    if (wish.is("hold")) co_await hold_with_pings(exchange);
    for (int i = 1; i <= tokens && !stopped_ && exchange.outcome == "open"; ++i) {
      const std::string text = " token" + std::to_string(i);
      const Json event{{"object", chat ? "chat.completion.chunk" : "text_completion.chunk"},
                       {"choices", Json::array({choice(text, chat, true)})}};
      const std::string bytes = "data: " + event.dump() + "\r\n\r\n";
      co_await exchange.send_chunk(bytes);
      if (wish.is("error", "break")) {
        exchange.break_off();
        co_return;
      }
      if (wish.is("error", "cut")) {
        exchange.cut_off();
        co_return;
      }
      co_await exchange.pause(settings_.event_interval);
    }
    if (exchange.outcome == "open") co_await exchange.end_stream();  // and nothing says [DONE]
  }

  Awaitable<> hold_with_pings(Exchange& exchange) {
    const std::string ping = ": ping - 2024-06-01 12:00:00.000000\r\n\r\n";
    while (exchange.outcome == "open") {
      const bool released = co_await wait_for_release(exchange, settings_.keep_alive);
      if (released) co_return;
      if (exchange.outcome == "open") co_await exchange.send_chunk(ping);
    }
  }

  const bool listens_;
  SerialLock lock_;
  bool stopped_ = false;
};

}  // namespace

std::unique_ptr<Stage> make_ooba_openai(asio::io_context& io, const Settings& settings) {
  return std::make_unique<OobaOpenai>(io, settings);
}

}  // namespace cppworker::stand_ins
