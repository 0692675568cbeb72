#include "proxy/access_log.hpp"

#include <unistd.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/json_log.hpp"
#include "common/log_writer.hpp"
#include "common/logging.hpp"

namespace cppworker {
namespace {

// Of a path, which is a stranger's. Those of endpoints have a few dozen.
constexpr std::size_t kLongestPath = 200;

// Milliseconds are what a client can tell apart.
double rounded(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

std::string text(std::string_view view) {
  return printable(view, kLongestPath);
}

}  // namespace

AccessLog access_log_on_stderr() {
  auto logger = std::make_shared<spdlog::logger>("access", std::make_shared<LogWriter>(STDERR_FILENO));
  logger->set_pattern("%v");
  return [logger = std::move(logger)](const std::string& line) { logger->info(line); };
}

EndOfRequest::EndOfRequest(const Connection& connection, ProxyThread& thread, const Request& request)
    : connection_(connection), thread_(thread), request_(request) {
  if (!thread.core.access_log) return;
  // Now: at the end the socket may be closed.
  boost::system::error_code ignored;
  client_ = connection.stream().socket().remote_endpoint(ignored).address();
}

EndOfRequest::~EndOfRequest() {
  const int status = request_.answered.status;
  if (status == 0) return;  // no request came, or the proxy ends
  thread_.core.ledger.count(answer_counter(status));
  if (!thread_.core.access_log) return;
  try {
    thread_.core.access_log(line());
  } catch (const std::exception& error) {
    spdlog::error("A line of the access log is lost: {}", error.what());
  }
}

std::string EndOfRequest::line() const {
  const Answered& answered = request_.answered;
  nlohmann::ordered_json line;
  line["time"] = utc_time(std::chrono::system_clock::now());
  line["request_id"] = request_.id;
  line["client"] = client_.to_string();
  if (connection_.has_head()) {
    const RequestHead& head = connection_.head();
    line["method"] = text(head.method());
    line["path"] = text(path_of(head.target()));
  }
  line["status"] = answered.status;
  line["bytes"] = answered.bytes;
  if (answered.first_byte_seconds) line["first_byte_s"] = rounded(*answered.first_byte_seconds);
  line["seconds"] = rounded(std::chrono::duration<double>(connection_.active().age()).count());
  line["outcome"] = answered.outcome;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace cppworker
