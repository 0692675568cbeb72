// The personality `ooba`: text-generation-webui v1.7 with its blocking API. HTTP/1.0, the status before the
// work, no Content-Length, the connection's end as the body's end; one generation at a time, whether or not
// anyone waits. The streaming API, a WebSocket, is on the port that --api-streaming-port names, as the launch
// script does, and on the same port, too. The real one waits for further requests after an answer, where this
// one closes.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/stand_ins/serial_lock.hpp"
#include "tests/stand_ins/stage.hpp"
#include "tests/stand_ins/websocket.hpp"
#include "tests/stand_ins/wish.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::json;

constexpr std::size_t kLargestBody = 64 << 20;    // http.server has no limit; tests need one
constexpr std::chrono::seconds kLongestHold{60};  // longer than any test
constexpr std::uint16_t kInternalError = 1011;    // RFC 6455 section 7.4.1

// As Python's json.dumps spells one string: escaped to ASCII.
std::string quoted(const std::string& text) {
  return json(text).dump(-1, ' ', true, json::error_handler_t::replace);
}

class Ooba : public Stage {
 public:
  Ooba(asio::io_context& io, const Settings& settings) : Stage(io, settings, kLargestBody) {}

 private:
  bool handles_term() const override { return false; }
  Awaitable<> stop() override { co_return; }

  Awaitable<> start() override {
    start_shards();
    log("INFO", "Loading " + settings_.model + "...");
    co_await download();
    co_await phase("load");
    co_await load();
    co_await phase("warmup");
    co_await warm_up();
    has_model_ = settings_.model.empty() || std::filesystem::exists("models/" + settings_.model);
    if (!has_model_) log("ERROR", "The path to the model does not exist. Exiting.");  // it doesn't
    if (has_model_ && gets_ready()) log("INFO", "Loaded the model in 8.05 seconds.\n");
    co_await bind_gap();
    if (settings_.bind_fail || open()) {
      // The API's thread ends; the process lives on without a port.
      print_error("OSError: [Errno 98] Address already in use");
      co_return;
    }
    if (settings_.streaming_port != 0 && streaming_.open(settings_.host, settings_.streaming_port))
      print_error("OSError: [Errno 98] Address already in use");
    print_line("Starting API at http://127.0.0.1:" + std::to_string(server_.port()) + "/api");
    print_line("Starting streaming server at ws://127.0.0.1:" + std::to_string(server_.port() + 1) +
               "/api/v1/stream");
    co_await phase("ready");
  }

  static bool is_stream(const std::string& path) {
    return path == "/api/v1/stream" || path == "/api/v1/chat-stream";
  }
  static bool is_chat(const Exchange& exchange) { return exchange.request.path == "/api/v1/chat-stream"; }
  static const char* prompt_name(const Exchange& exchange) {
    return is_chat(exchange) ? "user_input" : "prompt";
  }

  static std::string time_text(const char* format) {
    const std::time_t now = std::time(nullptr);
    char text[40];
    std::tm parts{};
    std::strftime(text, sizeof text, format, gmtime_r(&now, &parts));
    return text;
  }

  static void log(const std::string& level, const std::string& message) {
    print_error(time_text("%Y-%m-%d %H:%M:%S ") + level + ":\x1b[33m" + message + "\x1b[0m");
  }

  Awaitable<> handle(Exchange& exchange) override {
    exchange.close_after();
    const Request& request = exchange.request;
    if (request.method == "GET" && request.path == "/api/v1/model") {
      const std::string model = settings_.model.empty() ? "stand-in" : settings_.model;
      const std::string body = "{\"result\": " + quoted(has_model_ ? model : "None") + "}";
      co_await reply(exchange, healthy_ ? "200 OK" : "500 Internal Server Error", "", body);
    } else if (request.method == "POST" && !request.header("content-length")) {
      exchange.outcome = "broken";  // a TypeError before any answer
    } else if (request.method == "POST" && request.path == "/api/v1/generate") {
      co_await generate(exchange);
    } else if (request.method == "POST" && request.path == "/api/v1/stop-stream") {
      stop_generation();
      const std::string body = R"({"results": "success"})";
      co_await reply(exchange, "200 OK", "application/json", body);
    } else if (is_stream(request.path) && request.header("upgrade")) {
      const Talk talk = [&](WebSocket& client) { return serve_stream(exchange, client); };
      co_await talk_websocket(exchange, talk);
    } else {
      const std::string page = "<html><body><h1>Error response</h1></body></html>\n";
      co_await reply(exchange, "404 Not Found", "text/html;charset=utf-8", page);
    }
    print_error("127.0.0.1 - - [" + time_text("%d/%b/%Y %H:%M:%S") + "] \"" + request.method + " " +
                request.path + " HTTP/1.1\" 200 -");
  }

  static std::string head(const Exchange& exchange, const std::string& status, const std::string& type) {
    std::string text = "HTTP/1.0 " + status + "\r\nServer: BaseHTTP/0.6 Python/3.10.6\r\n";
    for (const auto& [name, value] : exchange.own_headers) text += name + ": " + value + "\r\n";
    if (!type.empty()) text += "Content-Type: " + type + "\r\n";
    return text + "Access-Control-Allow-Origin: *\r\n\r\n";
  }

  Awaitable<> reply(Exchange& exchange, std::string status, std::string type, const std::string& body) {
    const std::string text = head(exchange, status, type) + body;
    if (co_await exchange.send_raw(text)) exchange.outcome = "answered";
  }

  Awaitable<> generate(Exchange& exchange) {
    const json body = json::parse(exchange.request.body, nullptr, false);
    if (!body.is_object()) {
      exchange.outcome = "broken";  // an exception before any answer
      co_return;
    }
    const std::string begin = head(exchange, "200 OK", "application/json");
    co_await exchange.send_raw(begin);
    if (!body.contains("prompt") || !body["prompt"].is_string()) {
      exchange.outcome = "answered";  // with nothing: the exception came after the head
      co_return;
    }
    const Wish wish = read_wish(body["prompt"].get<std::string>());
    const RequestLog::Working working(log_);
    co_await lock_.lock();
    stopped_ = false;
    generation_.expires_after(wish.is("sleep") ? std::chrono::milliseconds(wish.number()) : settings_.answer);
    if (wish.is("hold")) co_await wait_for_release();
    if (!wish.is("hold")) co_await generation_.async_wait(kTuple);
    const int tokens = stopped_ ? std::min(1, settings_.events) : settings_.events;
    lock_.unlock();
    const bool fails = wish.is("error") || !has_model_;
    std::string text;
    for (int i = 1; i <= tokens; ++i) text += " token" + std::to_string(i);
    if (wish.is("size")) text.assign(static_cast<std::size_t>(wish.number()), 'x');
    const std::string answer = "{\"results\": [{\"text\": " + quoted(fails ? "" : text) + "}]}";
    const std::string half = answer.substr(0, answer.size() / 2);
    if (wish.is("error", "break") || wish.is("error", "cut")) {
      co_await exchange.send_raw(half);
      if (wish.is("error", "break")) exchange.break_off();
      if (wish.is("error", "cut")) exchange.cut_off();
      co_return;
    }
    log_generated(fails ? 0 : tokens);
    if (wish.is("drip")) exchange.drip = std::chrono::milliseconds(wish.number());
    if (co_await exchange.send_raw(answer)) exchange.outcome = "answered";
  }

  // Global, as the real one: whoever's it is. What was generated so far is the answer.
  void stop_generation() {
    stopped_ = true;
    release();
    generation_.cancel();
  }

  static void log_generated(int tokens) {
    const std::string rate = tokens == 0 ? "0.00" : "42.00";
    print_line("Output generated in 0.01 seconds (" + rate + " tokens/s, " + std::to_string(tokens) +
               " tokens, context 8, seed 1)");
  }

  Awaitable<> serve_stream(Exchange& exchange, WebSocket& client) {
    const std::optional<std::string> text = co_await client.message();
    if (!text) co_return;
    record_message(exchange, *text);
    const json request = json::parse(*text, nullptr, false);
    const char* prompt = prompt_name(exchange);
    if (!request.is_object() || !request.contains(prompt) || !request[prompt].is_string()) {
      exchange.outcome = "broken";  // an exception, which the library makes a close of
      co_await client.close(kInternalError);
      co_return;
    }
    const RequestLog::Working working(log_);
    co_await lock_.lock();
    co_await stream(exchange, client, request);
    lock_.unlock();
  }

  Awaitable<> stream(Exchange& exchange, WebSocket& client, const json& request) {
    const std::string prompt = request[prompt_name(exchange)].get<std::string>();
    const Wish wish = read_wish(prompt);
    std::string said;
    if (wish.is("hold")) co_await wait_for_release(exchange, kLongestHold);
    if (wish.is("sleep")) co_await exchange.pause(std::chrono::milliseconds(wish.number()));
    const bool fails = wish.is("error") && !wish.is("error", "break");
    const bool counted = request.contains("max_new_tokens") && request["max_new_tokens"].is_number();
    const int wanted = counted ? request["max_new_tokens"].get<int>() : settings_.events;
    const int tokens = fails || !has_model_ ? 0 : wanted;
    stopped_ = false;
    for (int i = 0; i < tokens && !stopped_; ++i) {
      if (exchange.outcome != "open") co_return;  // the client left
      const std::string token = wish.is("size") ? std::string(static_cast<std::size_t>(wish.number()), 'x')
                                                : " token" + std::to_string(i + 1);
      said += token;
      const std::string turns = "[[" + stand_ins::quoted(prompt) + ", " + stand_ins::quoted(said) + "]]";
      const std::string history = R"("history": {"internal": )" + turns + R"(, "visible": )" + turns + "}";
      const std::string event = R"({"event": "text_stream", "message_num": )" + std::to_string(i) + ", " +
                                (is_chat(exchange) ? history : R"("text": )" + quoted(token)) + "}";
      co_await client.send(event);
      if (wish.is("error", "break")) {
        exchange.break_off();
        co_return;
      }
      co_await exchange.pause(settings_.event_interval);
    }
    log_generated(tokens);
    const std::string end = R"({"event": "stream_end", "message_num": )" + std::to_string(tokens) + "}";
    const bool sent = co_await client.send(end);
    if (sent && exchange.outcome == "open") exchange.outcome = "answered";
  }

  HttpServer streaming_{io_, *this, kLargestBody};
  SerialLock lock_;
  asio::steady_timer generation_{io_};  // the end of the one under way; cancelled by stop-stream
  bool stopped_ = false;
  bool has_model_ = true;
};

}  // namespace

std::unique_ptr<Stage> make_ooba(asio::io_context& io, const Settings& settings) {
  return std::make_unique<Ooba>(io, settings);
}

}  // namespace cppworker::stand_ins
