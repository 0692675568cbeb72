#include "supervisor/cli_client.hpp"

#include <cstdio>
#include <optional>
#include <thread>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "common/async.hpp"
#include "common/result.hpp"
#include "supervisor/cli_socket.hpp"
#include "supervisor/cli_text.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using asio::local::stream_protocol;
using nlohmann::json;

// 200 lines of 4 KiB, each byte escaped, are 5 MiB.
constexpr std::uint64_t kLargestAnswer = 8 << 20;
// Between two questions of `logs -f`.
constexpr std::chrono::milliseconds kFollowInterval{500};

struct Refusal {
  ExitCode code;
  std::string message;
};

struct Outcome {
  json answer;
  std::optional<Refusal> refusal;
};

Outcome refuse(ExitCode code, std::string message) {
  return {nullptr, Refusal{code, std::move(message)}};
}

Outcome cannot_connect(const std::string& run_dir, const boost::system::error_code& error) {
  // Nobody listens on a socket that a worker left which was killed.
  if (error == boost::system::errc::no_such_file_or_directory || error == asio::error::connection_refused)
    return refuse(kExitNoWorker, "no worker runs in " + run_dir + "; name its folder with --run-dir");
  return refuse(kExitCannotStart, "cannot ask the worker in " + run_dir + ": " + error.message() +
                                      "; its own user and root may");
}

Awaitable<Outcome> exchange(std::string run_dir, std::string target) {
  const auto endpoint = cli_endpoint(run_dir);
  if (!endpoint) co_return refuse(kExitConfig, endpoint.error().message);
  stream_protocol::socket socket(co_await asio::this_coro::executor);
  auto [refused] = co_await socket.async_connect(*endpoint, kTuple);
  if (refused) co_return cannot_connect(run_dir, refused);
  http::request<http::empty_body> request(http::verb::get, target, 11);
  request.set(http::field::host, "cppworker");
  auto [write_error, written] = co_await http::async_write(socket, request, kTuple);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  boost::system::error_code error = write_error;
  if (!error) {
    auto [read_error, read] = co_await http::async_read(socket, buffer, parser, kTuple);
    error = read_error;
  }
  if (error)
    co_return refuse(kExitCannotStart, "the worker in " + run_dir + " gave no answer: " + error.message());
  json answer = json::parse(parser.get().body(), nullptr, false);
  if (parser.get().result_int() != 200 || !answer.is_object())
    co_return refuse(kExitCannotStart, "the worker in " + run_dir + " can't answer this: status " +
                                           std::to_string(parser.get().result_int()) +
                                           "; it may be of another version");
  co_return Outcome{std::move(answer), std::nullopt};
}

Outcome ask(const std::string& run_dir, const std::string& target) {
  asio::io_context io(1);
  std::optional<Outcome> outcome;
  asio::co_spawn(io, with_deadline(exchange(run_dir, target), kCliAnswerLimit),
                 [&](std::exception_ptr error, std::optional<Outcome> made) {
                   if (error) std::rethrow_exception(error);
                   outcome = std::move(made);
                 });
  io.run();
  if (outcome) return std::move(*outcome);
  return refuse(kExitCannotStart, "the worker in " + run_dir + " gave no answer within " +
                                      std::to_string(kCliAnswerLimit.count()) + " s: it hangs");
}

ExitCode say(const Refusal& refusal) {
  std::fprintf(stderr, "cppworker: %s\n", refusal.message.c_str());
  return refusal.code;
}

ExitCode show(const std::string& run_dir, const char* target, bool as_json,
              std::string (*text)(const json&)) {
  const Outcome outcome = ask(run_dir, target);
  if (outcome.refusal) return say(*outcome.refusal);
  const std::string shown = as_json ? outcome.answer.dump(2, ' ', true, json::error_handler_t::replace) + "\n"
                                    : text(outcome.answer);
  std::fputs(shown.c_str(), stdout);
  return kExitClean;
}

}  // namespace

ExitCode show_status(const std::string& run_dir, bool as_json) {
  return show(run_dir, "/status", as_json, status_text);
}

ExitCode show_why(const std::string& run_dir, bool as_json) {
  return show(run_dir, "/why", as_json, why_text);
}

ExitCode show_logs(const std::string& run_dir, std::size_t lines, bool follow) {
  std::uint64_t next = 0;
  bool first = true;
  while (true) {
    const Outcome outcome = ask(run_dir, "/logs");
    // A worker that ends while it is followed is how following ends.
    if (outcome.refusal)
      return !first && outcome.refusal->code == kExitNoWorker ? kExitClean : say(*outcome.refusal);
    const std::string shown = log_text(outcome.answer, next, first ? lines : SIZE_MAX);
    // Whoever read it may be gone.
    if (std::fputs(shown.c_str(), stdout) < 0 || std::fflush(stdout) != 0 || !follow) return kExitClean;
    first = false;
    std::this_thread::sleep_for(kFollowInterval);
  }
}

}  // namespace cppworker
