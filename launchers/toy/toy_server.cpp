// cppworker-toy: a small real language model behind the API of text-generation-inference 3, to try the worker
// without a GPU: a word-level Markov chain of order 2 that backs off to order 1 and to single words.
// Statuses, error bodies, events and log lines are TGI's. One thread, a coroutine per connection. SIGTERM or
// SIGINT: no more connections, requests in flight are finished, exit 0.

#include <csignal>
#include <iostream>
#include <random>
#include <set>
#include <sstream>
#include <thread>
#include <CLI/CLI.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "common/async.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::size_t kLargestBody = 2'000'000;  // TGI's payload-limit
constexpr int kMostInputTokens = 1024;           // TGI's defaults, as are the next two
constexpr int kMostTotalTokens = 2048;
constexpr int kMostRequests = 128;
constexpr int kDefaultNewTokens = 20;
constexpr int kBatchTokens = 16'000;               // what the log offers as the capacity
constexpr std::chrono::seconds kIdleTimeout{75};   // longer than a proxy keeps a pooled connection unused
constexpr std::chrono::seconds kDrainTimeout{20};  // below the 30 s that backend.json gives it to stop
constexpr char kStreamHead[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    "x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";
constexpr char kStreamEnd[] = "0\r\n\r\n";  // the last chunk
constexpr milliseconds kAcceptPause{100};   // out of descriptors: wait for some to come back

constexpr char kText[] =
#include "launchers/toy/training_text.inc"
    ;

// A line of TGI's JSON log: the launcher's have `message` inside `fields`, the router's have it on top.
void log_line(bool launcher, const std::string& message, const Json& span = {}) {
  const std::time_t now = std::time(nullptr);
  char time[32];
  std::tm parts{};
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
  Json line{{"timestamp", time}, {"level", "INFO"}, {launcher ? "fields" : "message", message}};
  if (launcher) line["fields"] = {{"message", message}};
  line["target"] = launcher ? "text_generation_launcher" : "text_generation_router::server";
  if (!span.is_null()) line["span"] = span;
  std::puts(line.dump().c_str());
  std::fflush(stdout);
}

class MarkovModel {
 public:
  explicit MarkovModel(const std::string& text) {
    for (int word : ids(text, true)) {
      if (!all_.empty()) after_one_[all_.back()].push_back(word);
      if (all_.size() > 1) after_two_[{all_.end()[-2], all_.back()}].push_back(word);
      all_.push_back(word);
    }
  }

  const std::string& word(int id) const { return words_[id]; }

  // Numbers of the text's words; -1 for those that weren't learnt.
  std::vector<int> ids(const std::string& text, bool learn = false) {
    std::vector<int> result;
    std::istringstream in(text);
    for (std::string word; in >> word;) {
      if (learn && numbers_.emplace(word, words_.size()).second) words_.push_back(word);
      const auto known = numbers_.find(word);
      result.push_back(known == numbers_.end() ? -1 : known->second);
    }
    return result;
  }

  // The next word and the logarithm of its probability. One successor alone would recite the text, so that
  // backs off, too.
  std::pair<int, double> next(const std::vector<int>& words, std::mt19937_64& random) const {
    const std::vector<int>* candidates = &all_;
    const auto one = after_one_.find(words.empty() ? -1 : words.back());
    if (one != after_one_.end()) candidates = &one->second;
    if (words.size() > 1) {
      const auto two = after_two_.find({words.end()[-2], words.back()});
      if (two != after_two_.end() && two->second.size() > 1) candidates = &two->second;
    }
    const int chosen = (*candidates)[random() % candidates->size()];
    const auto same = std::count(candidates->begin(), candidates->end(), chosen);
    return {chosen, std::log(static_cast<double>(same) / static_cast<double>(candidates->size()))};
  }

 private:
  std::vector<std::string> words_;
  std::map<std::string, int> numbers_;
  std::vector<int> all_;
  std::map<int, std::vector<int>> after_one_;
  std::map<std::pair<int, int>, std::vector<int>> after_two_;
};

struct Refusal {
  http::status status;
  std::string error, type;  // an empty type: the body couldn't be read, and the answer is plain text

  std::string body() const {
    return type.empty() ? error : Json{{"error", error}, {"error_type", type}}.dump();
  }
};

struct Job {
  std::vector<int> words;  // the input's, then the generated ones
  int most = kDefaultNewTokens;
  std::optional<std::uint64_t> seed;
  bool details = false;
  std::vector<std::string> stops;
  std::mt19937_64 random;
  Json tokens = Json::array();
  std::string text, finish_reason;  // no reason: still running
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  Json summary() const {
    const Json seed_or_null = seed ? Json(*seed) : Json();
    Json result{{"finish_reason", finish_reason}, {"generated_tokens", tokens.size()}};
    result.update({{"seed", seed_or_null}, {"tokens", tokens}});
    return result;
  }
};

// The job that a body asks for, or TGI's answer to a body that it doesn't take.
std::variant<Job, Refusal> read_job(const std::string& body, MarkovModel& model) {
  const auto invalid = [](std::string why) {
    return Refusal{http::status::unprocessable_entity, "Input validation error: " + why, "validation"};
  };
  const Json json = Json::parse(body, nullptr, false);
  Refusal unfit{http::status::bad_request, "Failed to parse the request body as JSON", ""};
  if (json.is_discarded()) return unfit;
  unfit = {http::status::unprocessable_entity, "Failed to deserialize the JSON body into the target type",
           ""};
  if (!json.is_object() || !json.contains("inputs")) unfit.error += ": missing field `inputs`";
  try {
    Job job;
    Json parameters = json.value("parameters", Json());
    if (parameters.is_null()) parameters = Json::object();
    const auto number = [&](const char* name, double otherwise) {
      return parameters.value(name, Json()).is_null() ? otherwise : parameters[name].get<double>();
    };
    const double most = number("max_new_tokens", kDefaultNewTokens);
    if (most < 1) return invalid("`max_new_tokens` must be strictly positive");
    if (number("temperature", 1) <= 0) return invalid("`temperature` must be strictly positive");
    job.stops = parameters.value("stop", job.stops);
    job.details = parameters.value("details", false);
    if (number("seed", -1) >= 0) job.seed = parameters["seed"].get<std::uint64_t>();
    job.words = model.ids(json.at("inputs").get<std::string>());
    const std::string inputs = std::to_string(job.words.size());
    if (job.words.empty()) return invalid("`inputs` cannot be empty");
    if (job.words.size() > kMostInputTokens) {
      return invalid("`inputs` must have less than 1024 tokens. Given: " + inputs);
    }
    if (most > kMostTotalTokens - static_cast<double>(job.words.size())) {
      return invalid("`inputs` tokens + `max_new_tokens` must be <= 2048. Given: " + inputs +
                     " `inputs` tokens and " + parameters["max_new_tokens"].dump() + " `max_new_tokens`");
    }
    job.most = static_cast<int>(most);
    job.random.seed(job.seed ? *job.seed : std::random_device()());
    return job;
  } catch (const Json::exception&) {
    return unfit;
  }
}

// One word further; the new token as TGI shows it.
Json generate_token(Job& job, const MarkovModel& model) {
  const auto [id, logprob] = model.next(job.words, job.random);
  job.words.push_back(id);
  const std::string text = " " + model.word(id);
  job.text += text;
  Json token{{"id", id}, {"text", text}, {"logprob", logprob}, {"special", false}};
  job.tokens.push_back(token);
  if (static_cast<int>(job.tokens.size()) == job.most) job.finish_reason = "length";
  for (const std::string& stop : job.stops) {
    if (!stop.empty() && job.text.find(stop) != std::string::npos) job.finish_reason = "stop_sequence";
  }
  return token;
}

class ToyServer {
 public:
  ToyServer(MarkovModel& model, milliseconds token_delay) : model_(model), token_delay_(token_delay) {}

  void listen(const tcp::endpoint& endpoint) { acceptor_ = tcp::acceptor(io_, endpoint); }

  void run() {
    asio::signal_set signals(io_, SIGTERM, SIGINT);
    signals.async_wait([this](auto ec, int) { ec ? void() : stop(); });
    // What a coroutine doesn't handle is a bug, and ends the program.
    asio::co_spawn(io_, accept(), [](std::exception_ptr e) { e ? std::rethrow_exception(e) : void(); });
    io_.run();
  }

 private:
  using Stream = boost::beast::tcp_stream;
  using Request = http::request<http::string_body>;

  void stop() {
    log_line(false, "signal received, starting graceful shutdown");
    stopping_ = true;
    acceptor_.close();
    for (Stream* stream : idle_) stream->close();
    drain_.expires_after(kDrainTimeout);
    drain_.async_wait([](auto ec) { ec ? void() : std::_Exit(0); });
    if (connections_ == 0) drain_.cancel();
  }

  Awaitable<> accept() {
    while (!stopping_) {
      auto [ec, socket] = co_await acceptor_.async_accept(kTuple);
      if (ec && !stopping_) co_await sleep_for(kAcceptPause);
      if (ec || stopping_) continue;
      ++connections_;
      asio::co_spawn(io_, serve(Stream(std::move(socket))), [this](std::exception_ptr e) {
        if (e) std::rethrow_exception(e);
        if (--connections_ == 0 && stopping_) drain_.cancel();
      });
    }
  }

  Awaitable<> serve(Stream stream) {
    boost::system::error_code ignored;
    stream.socket().set_option(tcp::no_delay(true), ignored);  // an event leaves when it is made
    boost::beast::flat_buffer buffer;
    bool open = true;
    while (open && !stopping_) {
      http::request_parser<http::string_body> parser;
      parser.body_limit(kLargestBody);
      stream.expires_after(kIdleTimeout);
      idle_.insert(&stream);
      auto [ec, bytes] = co_await http::async_read(stream, buffer, parser, kTuple);
      idle_.erase(&stream);
      stream.expires_never();
      if (ec && ec != http::error::body_limit) break;
      Request request = parser.release();
      if (ec) request.keep_alive(false);  // what is left of the body stays unread
      if (ec) co_await answer(stream, request, http::status::payload_too_large, "length limit exceeded", "");
      if (!ec) open = co_await handle(stream, request);
      open = open && request.keep_alive();
    }
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  // False when the connection can't be used any more; so with all that follow.
  Awaitable<bool> handle(Stream& stream, const Request& request) {
    const std::string path(request.target().substr(0, request.target().find('?')));
    const bool streamed = path == "/generate_stream", posts = streamed || path == "/generate";
    const bool gets = path == "/health" || path == "/info" || path == "/metrics";
    http::status status = posts || gets ? http::status::ok : http::status::not_found;
    const http::verb verb = posts ? http::verb::post : http::verb::get;
    if ((posts || gets) && request.method() != verb) status = http::status::method_not_allowed;
    if (status != http::status::ok || !posts) {
      const char* type = path == "/info" ? "application/json" : "text/plain; version=0.0.4";
      std::string text = path == "/info" ? kInfo : path == "/metrics" ? metrics() : "";
      if (status != http::status::ok) text.clear();
      co_return co_await answer(stream, request, status, text, type);
    }
    ++requests_;
    const Refusal overloaded{http::status::too_many_requests, "Model is overloaded", "overloaded"};
    std::variant<Job, Refusal> read = overloaded;
    if (running_ < kMostRequests) read = read_job(request.body(), model_);
    if (const Refusal* refusal = std::get_if<Refusal>(&read)) {
      ++failures_[refusal->type.empty() ? "validation" : refusal->type];
      // Once the body could be read, a stream's errors are events of a 200.
      const std::string body = refusal->body(), error = kStreamHead + event(body) + kStreamEnd;
      if (streamed && !refusal->type.empty()) co_return co_await send(stream, error);
      const char* type = refusal->type.empty() ? "text/plain; charset=utf-8" : "application/json";
      co_return co_await answer(stream, request, refusal->status, body, type);
    }
    ++running_;
    Job& job = std::get<Job>(read);
    const bool sent = co_await run_job(stream, request, job, streamed);
    --running_;
    sent ? account(job, streamed ? "generate_stream" : "generate") : void(++failures_["dropped"]);
    co_return sent;
  }

  Awaitable<bool> run_job(Stream& stream, const Request& request, Job& job, bool streamed) {
    if (streamed && !co_await send(stream, kStreamHead)) co_return false;
    while (job.finish_reason.empty()) {
      co_await sleep_for(token_delay_);
      Json token{{"index", job.tokens.size() + 1}, {"token", generate_token(job, model_)}};
      const bool last = !job.finish_reason.empty();
      token["generated_text"] = last ? Json(job.text) : Json();
      token["details"] = last && job.details ? job.summary() : Json();
      const std::string bytes = event(token.dump()) + (last ? kStreamEnd : "");
      char next;
      const bool gone = ::recv(stream.socket().native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
      if (gone || (streamed && !co_await send(stream, bytes))) co_return false;
    }
    if (streamed) co_return true;
    Json body{{"generated_text", job.text}};
    if (job.details) body["details"] = job.summary();
    const std::string text = body.dump();
    co_return co_await answer(stream, request, http::status::ok, text, "application/json");
  }

  void account(const Job& job, const char* route) {
    ++successes_;
    tokens_ += job.tokens.size();
    const auto took = (std::chrono::steady_clock::now() - job.began) / std::chrono::microseconds(1);
    const std::string total = std::to_string(took) + "µs";
    log_line(false, "Success", {{"total_time", total}, {"name", route}});
  }

  Awaitable<bool> answer(Stream& stream, const Request& request, http::status status, std::string_view body,
                         const char* type) {
    http::response<http::string_body> response(status, 11, std::string(body));
    if (*type && !body.empty()) response.set("content-type", type);
    response.keep_alive(request.keep_alive() && !stopping_);
    response.prepare_payload();
    auto [ec, bytes] = co_await http::async_write(stream, response, kTuple);
    co_return !ec;
  }

  static std::string event(const std::string& json) {
    char size[24];
    std::snprintf(size, sizeof size, "%zx\r\n", json.size() + 8);
    return size + ("data: " + json) + "\n\n\r\n";
  }

  Awaitable<bool> send(Stream& stream, std::string_view bytes) {
    auto [ec, sent] = co_await asio::async_write(stream, asio::buffer(bytes), kTuple);
    co_return !ec;
  }

  static constexpr char kInfo[] =
      R"({"model_id":"cppworker/toy","max_concurrent_requests":128,"max_input_tokens":1024,)"
      R"("max_total_tokens":2048,"router":"cppworker-toy","version":")" CPPWORKER_VERSION R"("})";

  std::string metrics() const {
    std::ostringstream out;
    out << "tgi_request_count " << requests_ << "\ntgi_request_success " << successes_
        << "\ntgi_generated_tokens " << tokens_ << "\ntgi_queue_size 0\ntgi_batch_current_size " << running_
        << "\n";
    for (const auto& [why, n] : failures_) out << "tgi_request_failure{err=\"" << why << "\"} " << n << "\n";
    return out.str();
  }

  MarkovModel& model_;
  const milliseconds token_delay_;
  asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  asio::steady_timer drain_{io_};
  std::set<Stream*> idle_;  // those that wait for a request
  bool stopping_ = false;
  int connections_ = 0, running_ = 0;
  std::uint64_t requests_ = 0, successes_ = 0, tokens_ = 0;
  std::map<std::string, std::uint64_t> failures_;  // by TGI's names of the reasons
};

}  // namespace
}  // namespace cppworker

int main(int argc, char** argv) {
  using namespace cppworker;
  std::string hostname = "127.0.0.1";
  std::uint16_t port = 5001;
  unsigned token_delay_ms = 5, load_ms = 300;
  CLI::App app("A toy language model behind the API of text-generation-inference");
  app.add_option("--hostname", hostname, "Address to listen on");
  app.add_option("--port", port, "Port to listen on");
  app.add_option("--token-delay-ms", token_delay_ms, "Time that each word takes");
  app.add_option("--load-ms", load_ms, "Time that loading takes");
  app.add_flag(
      "--json-output", [](std::int64_t) {}, "Accepted for TGI's sake: the log is always JSON");
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGTERM, [](int) { std::_Exit(0); });  // until the server takes it over
  const std::string where = hostname + ":" + std::to_string(port);
  log_line(true, "Args { model_id: \"cppworker/toy\", listens_on: \"" + where + "\" }");
  log_line(true, "Starting check and download process for cppworker/toy");
  log_line(true, "Starting shard");
  MarkovModel model(kText);
  std::this_thread::sleep_for(milliseconds(load_ms));
  log_line(true, "Starting Webserver");
  log_line(false, "Warming up model");
  ToyServer server(model, milliseconds(token_delay_ms));
  try {
    server.listen({asio::ip::make_address(hostname), port});
  } catch (const std::exception& e) {
    std::cerr << "Error: WebserverFailed: cannot listen on " << where << ": " << e.what() << "\n";
    return 1;
  }
  log_line(false, "Setting max batch total tokens to " + std::to_string(kBatchTokens));
  log_line(false, "Connected");
  server.run();
}
