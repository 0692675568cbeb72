// The personality `sdauto`: AUTOMATIC1111's web UI 1.7 to 1.10. Answers before its weights are loaded, works
// on one picture at a time, goes on when the client leaves but not when it is interrupted; its API is off
// unless asked for. Compresses what is large, for clients that take it.

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/stand_ins/deflate.hpp"
#include "tests/stand_ins/png.hpp"
#include "tests/stand_ins/serial_lock.hpp"
#include "tests/stand_ins/stage.hpp"
#include "tests/stand_ins/wish.hpp"

namespace cppworker::stand_ins {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestBody = 64 << 20;  // uvicorn has no limit; tests need one
constexpr std::chrono::seconds kDrainLimit{60};
constexpr std::size_t kLeastGzipped = 1000;  // of the middleware's
constexpr char kJson[] = "application/json";

Json error_body(const std::string& error, const std::string& detail, const std::string& errors) {
  return {{"error", error}, {"detail", detail}, {"body", ""}, {"errors", errors}};
}

class Sdauto : public Stage {
 public:
  Sdauto(asio::io_context& io, const Settings& settings)
      : Stage(io, settings, kLargestBody), loaded_(io), job_(io) {
    loaded_.expires_at(asio::steady_timer::time_point::max());
  }

 private:
  // With the web UI the default action of SIGTERM stays; uvicorn alone shuts down gracefully.
  bool handles_term() const override { return settings_.nowebui; }

  Awaitable<> start() override {
    const std::string what = settings_.nowebui ? "API server" : "Web UI";
    print_line("Launching " + what + " with arguments: --port " + std::to_string(settings_.port));
    start_shards();
    co_await download();
    co_await phase("load");
    print_line("Loading weights [6ce0161689] from /models/Stable-diffusion/v1-5-pruned-emaonly.safetensors");
    const bool bound = !settings_.bind_fail && !open();
    report_port(bound);
    print_line("Startup time: 7.2s (import torch: 2.0s, import gradio: 1.6s, create ui: 0.7s).");
    print_line("Creating model from config: /configs/v1-inference.yaml");
    co_await load();
    co_await phase("warmup");
    co_await warm_up();
    if (gets_ready()) {
      print_line(
          "Model loaded in 9.2s (load weights from disk: 3.3s, create model: 0.4s, apply half(): 0.8s).");
      is_loaded_ = true;
      loaded_.cancel();
    }
    if (!bound) {  // the loader thread finished its work, and said so, in a process that serves nobody
      std::fflush(stdout);
      std::_Exit(1);
    }
    co_await phase("ready");
  }

  void report_port(bool bound) {
    const std::string address = "('127.0.0.1', " + std::to_string(settings_.port) + ")";
    if (!bound) {
      print_error("ERROR:    [Errno 98] error while attempting to bind on address " + address +
                  ": address already in use");
    } else if (settings_.nowebui) {
      print_error("INFO:     Application startup complete.");
      print_error("INFO:     Uvicorn running on http://127.0.0.1:" + std::to_string(server_.port()) +
                  " (Press CTRL+C to quit)");
    } else {
      print_line("Running on local URL:  http://127.0.0.1:" + std::to_string(server_.port()));
    }
  }

  Awaitable<> stop() override {
    print_error("INFO:     Shutting down");
    print_error("INFO:     Waiting for connections to close. (CTRL+C to force quit)");
    co_await server_.drain(kDrainLimit);
    co_await stop_shards();
    print_error("INFO:     Finished server process [" + std::to_string(::getpid()) + "]");
  }

  Awaitable<> handle(Exchange& exchange) override {
    const std::string& path = exchange.request.path;
    const std::string& method = exchange.request.method;
    const auto began = std::chrono::steady_clock::now();
    int status = 200;
    std::string body = R"({"detail":"Not Found"})";
    const char* wanted = settings_.api ? method_of(path) : nullptr;
    if (wanted == nullptr) {
      status = 404;
    } else if (method != wanted) {
      status = 405;
      body = R"({"detail":"Method Not Allowed"})";
    } else if (path == "/sdapi/v1/progress") {
      body = progress().dump();
      if (!healthy_) status = 500;
    } else if (path == "/sdapi/v1/interrupt" || path == "/sdapi/v1/skip") {
      end_job();
      body = path.ends_with("skip") ? "null" : "{}";
    } else {
      status = co_await draw(exchange, body);
    }
    if (status == 0) co_return;  // broken off
    Headers headers;
    if (body.size() >= kLeastGzipped && takes_gzip(exchange.request)) {
      body = gzip(body);
      headers = {{"content-encoding", "gzip"}, {"vary", "Accept-Encoding"}};
    }
    co_await exchange.answer(status, kJson, body, headers);
    if (settings_.api_log) log_request(exchange.request, status, std::chrono::steady_clock::now() - began);
  }

  static const char* method_of(const std::string& path) {
    if (path == "/sdapi/v1/progress") return "GET";
    const bool known =
        path == "/sdapi/v1/txt2img" || path == "/sdapi/v1/interrupt" || path == "/sdapi/v1/skip";
    return known ? "POST" : nullptr;
  }

  static bool takes_gzip(const Request& request) {
    const std::string* accepted = request.header("accept-encoding");
    return accepted != nullptr && accepted->find("gzip") != std::string::npos;
  }

  // The picture is finished as far as it is, and answered.
  void end_job() {
    if (job_steps_ == 0) return;
    interrupted_ = true;
    release();
    job_.cancel();
  }

  // The status, with the body put into `body`; 0 when the connection was broken off.
  Awaitable<int> draw(Exchange& exchange, std::string& body) {
    const Json request = Json::parse(exchange.request.body, nullptr, false);
    const Json steps = request.is_object() ? request.value("steps", Json(50)) : Json();
    if (!steps.is_number_integer()) {
      const Json detail{{"loc", {"body", "steps"}},
                        {"msg", "value is not a valid integer"},
                        {"type", "type_error.integer"}};
      body = Json{{"detail", Json::array({detail})}}.dump();
      co_return 422;
    }
    if (request.value("sampler_name", "Euler") == "no such sampler") {
      body = error_body("HTTPException", "Sampler not found", "").dump();
      co_return 404;
    }
    const std::string prompt = request.value("prompt", "");
    const Wish wish = read_wish(prompt);
    const RequestLog::Working working(log_);
    if (!is_loaded_) co_await loaded_.async_wait(kTuple);
    co_await lock_.lock();
    job_steps_ = steps.get<int>();
    job_length_ = wish.is("sleep") ? std::chrono::milliseconds(wish.number()) : settings_.answer;
    job_began_ = std::chrono::steady_clock::now();
    std::fputs("\r  0%|          | 0/20 [00:00<?, ?it/s]\r100%|##########| 20/20 [00:01<00:00, 18.01it/s]\n",
               stderr);
    interrupted_ = false;
    job_.expires_after(job_length_);
    if (wish.is("hold")) co_await wait_for_release();
    if (!wish.is("hold")) co_await job_.async_wait(kTuple);
    job_steps_ = 0;
    lock_.unlock();
    co_return finish(exchange, request, wish, body);
  }

  int finish(Exchange& exchange, const Json& request, const Wish& wish, std::string& body) {
    if (wish.is("error", "break")) {
      exchange.break_off();
      return 0;
    }
    if (wish.is("error")) {
      const std::string oom = "CUDA out of memory. Tried to allocate 2.00 GiB";
      print_error("*** API error: POST: http://127.0.0.1" + exchange.request.path +
                  " {'error': 'OutOfMemoryError', 'detail': '', 'body': '', 'errors': '" + oom + "'}");
      body = error_body("OutOfMemoryError", "", oom).dump();
      return wish.number() == 0 ? 500 : wish.number();
    }
    const std::int64_t seed = request.value("seed", std::int64_t{-1});
    Json parameters{{"prompt", ""},   {"negative_prompt", ""}, {"seed", -1},    {"steps", 50},
                    {"cfg_scale", 7}, {"width", 512},          {"height", 512}, {"batch_size", 1}};
    parameters.update(request);
    const Json info{
        {"prompt", parameters["prompt"]}, {"seed", seed < 0 ? 42 : seed}, {"infotexts", {"Steps"}}};
    const int pictures = std::max(1, request.value("batch_size", 1) * request.value("n_iter", 1));
    Json images = Json::array();
    for (int i = 0; i < pictures; ++i) {
      images.push_back(base64(make_png(static_cast<std::uint32_t>(info["seed"].get<std::int64_t>() + i))));
    }
    body = Json{{"images", images}, {"parameters", parameters}, {"info", info.dump()}}.dump();
    if (wish.is("drip")) exchange.drip = std::chrono::milliseconds(wish.number());
    return 200;
  }

  Json progress() const {
    const auto passed = std::chrono::steady_clock::now() - job_began_;
    const double part = std::chrono::duration<double>(passed) / std::chrono::duration<double>(job_length_);
    const double share = job_steps_ == 0 ? 0 : std::min(part, 0.99);
    const Json state{{"skipped", false},
                     {"interrupted", interrupted_},
                     {"job", job_steps_ == 0 ? "" : "scripts_txt2img"},
                     {"job_count", job_steps_ == 0 ? 0 : 1},
                     {"sampling_step", static_cast<int>(share * job_steps_)},
                     {"sampling_steps", job_steps_}};
    return {{"progress", share},
            {"eta_relative", 0.0},
            {"state", state},
            {"current_image", nullptr},
            {"textinfo", nullptr}};
  }

  static void log_request(const Request& request, int status, std::chrono::nanoseconds took) {
    const std::time_t now = std::time(nullptr);
    char time[32], seconds[32];
    std::tm parts{};
    std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", gmtime_r(&now, &parts));
    std::snprintf(seconds, sizeof seconds, "%.4f", std::chrono::duration<double>(took).count());
    print_line("API " + std::string(time) + ".000000 " + std::to_string(status) + " http/1.1 " +
               request.method + " " + request.path + " 127.0.0.1 " + seconds);
  }

  SerialLock lock_;
  bool is_loaded_ = false;
  asio::steady_timer loaded_;  // cancelled when the weights are loaded
  int job_steps_ = 0;          // of the job that runs; 0: none
  asio::steady_timer job_;     // its end; cancelled when it is interrupted
  bool interrupted_ = false;   // the last job was
  std::chrono::milliseconds job_length_{1};
  std::chrono::steady_clock::time_point job_began_;
};

}  // namespace

std::unique_ptr<Stage> make_sdauto(asio::io_context& io, const Settings& settings) {
  return std::make_unique<Sdauto>(io, settings);
}

}  // namespace cppworker::stand_ins
