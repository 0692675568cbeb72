#include "supervisor/post_mortem.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/logging.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Together below kLargestPostMortem, also when each byte of a line takes several in JSON.
constexpr std::size_t kMostLines = 100;
constexpr std::size_t kLongestLine = 1000;
constexpr std::size_t kMostRequests = 200;
constexpr std::size_t kMostSurvivors = 50;
constexpr std::size_t kLongestName = 100;

std::string time_text(std::chrono::system_clock::time_point time, const char* format) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, format, &parts));
}

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json describe(const std::optional<ExitStatus>& exit) {
  if (!exit) return nullptr;
  json made = {{"text", exit->text()}};
  if (exit->out_of_memory) made["out_of_memory"] = true;
  if (exit->kind == ExitStatus::Kind::kCode) made["code"] = exit->code;
  if (exit->kind == ExitStatus::Kind::kSignal) {
    made["signal"] = exit->signal;
    made["core"] = exit->core;
  }
  return made;
}

json describe_requests(const PostMortem& post_mortem) {
  const std::int64_t now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(post_mortem.ended.time_since_epoch()).count();
  json requests = json::array();
  for (const InFlightRequest& request : post_mortem.in_flight) {
    if (requests.size() == kMostRequests) break;
    const auto index = static_cast<std::size_t>(request.endpoint);
    const bool known = request.endpoint >= 0 && index < post_mortem.endpoints.size();
    requests.push_back(
        {{"request_idx", or_null(request.request_idx)},
         {"endpoint", known ? json(printable(post_mortem.endpoints[index], kLongestName)) : json(nullptr)},
         {"work", static_cast<double>(request.work_milli) / 1000},
         {"age_s", static_cast<double>(std::max<std::int64_t>(0, now_ms - request.started_unix_ms)) / 1000}});
  }
  return requests;
}

// Of this service's alone: a proxy that ends thirty times in four minutes must not take the model's away. And
// never the newest, which a clock that was set back makes look old.
void remove_the_oldest(const std::string& folder, const std::string& service, const fs::path& newest) {
  std::vector<fs::path> others;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool same = name.find("-" + service + "-") != std::string::npos;
    if (same && name.ends_with(".json") && name != newest.filename()) others.push_back(entry.path());
  }
  // The names begin with the time.
  std::sort(others.begin(), others.end());
  for (std::size_t i = 0; i + kMostPostMortems < others.size() + 1; ++i) fs::remove(others[i], ignored);
}

}  // namespace

std::string encode(const PostMortem& post_mortem) {
  json lines = json::array();
  const std::size_t all = post_mortem.last_lines.size();
  for (std::size_t i = all - std::min(all, kMostLines); i < all; ++i)
    lines.push_back(printable(post_mortem.last_lines[i], kLongestLine));
  json memory = json::array();
  for (const MemoryCurve::Point& point : post_mortem.memory)
    memory.push_back({{"after_s", point.after.count()}, {"mib", point.bytes >> 20}});
  json survivors = json::array();
  for (const std::string& survivor : post_mortem.survivors)
    if (survivors.size() < kMostSurvivors) survivors.push_back(printable(survivor));

  // Ordered for people: the first line of the file is what they look for.
  nlohmann::ordered_json document;
  document["summary"] = printable(post_mortem.summary, kLongestLine);
  document["service"] = post_mortem.service;
  document["cause"] = post_mortem.cause;
  document["exit"] = describe(post_mortem.exit);
  document["ended"] = time_text(post_mortem.ended, "%Y-%m-%dT%H:%M:%SZ");
  document["launch"] = post_mortem.launch;
  document["pid"] = post_mortem.pid;
  document["ran_for_s"] = post_mortem.ran_for_s;
  document["ready_after_s"] = or_null(post_mortem.ready_after_s);
  document["ready_for_s"] = or_null(post_mortem.ready_for_s);
  document["survivors"] = survivors;
  document["requests_in_flight"] = post_mortem.in_flight.size();
  document["requests"] = describe_requests(post_mortem);
  document["memory"] = memory;
  document["last_lines"] = lines;
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<std::string> write_post_mortem(const std::string& folder, const PostMortem& post_mortem) {
  std::error_code error;
  if (fs::create_directories(folder, error); error)
    return fail("cannot make " + folder + ": " + error.message());
  fs::permissions(folder, fs::perms::owner_all, error);
  // Launches are counted anew by each worker, and two may fail within a second: the pid tells them apart.
  const std::string path = folder + "/" + time_text(post_mortem.ended, "%Y%m%dT%H%M%SZ") + "-" +
                           post_mortem.service + "-" + std::to_string(post_mortem.launch) + "-" +
                           std::to_string(post_mortem.pid > 0 ? post_mortem.pid : ::getpid()) + ".json";
  if (!replace_file(path, encode(post_mortem)))
    return fail("cannot write " + path + ": " + std::strerror(errno));
  remove_the_oldest(folder, post_mortem.service, path);
  return path;
}

void keep_post_mortem(const std::string& folder, const PostMortem& post_mortem) {
  const Result<std::string> path = write_post_mortem(folder, post_mortem);
  if (path)
    spdlog::info("What is known about it is in {}", *path);
  else
    spdlog::warn("{}", path.error().message);
  // Tables and texts of megabytes, for something that is rare: the allocator would keep them for the next
  // time.
  ::malloc_trim(0);
}

void add_requests(PostMortem& post_mortem, LedgerSnapshot books, std::uint64_t owner) {
  post_mortem.in_flight = std::move(books.in_flight);
  if (owner != 0)
    std::erase_if(post_mortem.in_flight,
                  [owner](const InFlightRequest& request) { return request.owner != owner; });
  for (EndpointFigures& endpoint : books.endpoints) post_mortem.endpoints.push_back(std::move(endpoint.name));
}

}  // namespace cppworker
