#include "supervisor/launch_records.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "supervisor/launch_cgroup.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

// A few launches at once: model, two proxies, hooks.
constexpr std::size_t kLargestFile = 64 << 10;

std::string boot_id() {
  return std::string(trim(read_file("/proc/sys/kernel/random/boot_id", 64).value_or("")));
}

std::vector<LaunchRecord> parse(const std::string& text, const std::string& boot) {
  std::vector<LaunchRecord> records;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object() || document.value("boot", json()) != boot) return records;
  const json launches = document.value("launches", json::array());
  for (const json& launch : launches) {
    if (!launch.is_object()) continue;
    auto text_of = [&](const char* name) {
      const auto found = launch.find(name);
      return found != launch.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    auto number_of = [&](const char* name) {
      const auto found = launch.find(name);
      return found != launch.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
    };
    LaunchRecord record;
    record.service = printable(text_of("service"), 64);
    record.mark = text_of("mark");
    record.cgroup = text_of("cgroup");
    record.pid = static_cast<pid_t>(number_of("pid"));
    record.start_time = static_cast<std::uint64_t>(number_of("start_time"));
    if (!record.mark.empty()) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

LaunchRecords::LaunchRecords(std::string path) : path_(std::move(path)), boot_(boot_id()) {
  if (const auto text = read_file(path_, kLargestFile)) records_ = parse(*text, boot_);
}

void LaunchRecords::begin(LaunchRecord record) {
  records_.push_back(std::move(record));
  write();
}

void LaunchRecords::launched(const std::string& mark, pid_t pid) {
  for (LaunchRecord& record : records_) {
    if (record.mark != mark) continue;
    record.pid = pid;
    if (const auto process = look_at_process(pid)) record.start_time = process->start_time;
    write();
  }
}

void LaunchRecords::end(const std::string& mark) {
  if (std::erase_if(records_, [&](const LaunchRecord& record) { return record.mark == mark; }) > 0) write();
}

void LaunchRecords::write() {
  json launches = json::array();
  for (const LaunchRecord& record : records_)
    launches.push_back({{"service", record.service},
                        {"mark", record.mark},
                        {"cgroup", record.cgroup},
                        {"pid", record.pid},
                        {"start_time", record.start_time}});
  const json document = {{"boot", boot_}, {"launches", launches}};
  if (!replace_file(path_, document.dump() + "\n"))
    spdlog::warn("Cannot write {}: {}; should the worker be killed, the next one won't find what is left",
                 path_, std::strerror(errno));
}

Awaitable<Result<std::vector<ProcessInfo>>> end_left_behind(LaunchRecords& records,
                                                            std::chrono::milliseconds limit) {
  std::vector<ProcessInfo> survivors;
  const std::vector<LaunchRecord> left = records.all();
  for (const LaunchRecord& record : left) {
    // The leader's number may be another group's by now: marks and start times tell, groups don't.
    ProcessTree tree;
    tree.mark = record.mark;
    tree.cgroup = record.cgroup;
    std::set<ProcessKey> known;
    if (record.pid > 0) known.insert({record.pid, record.start_time});
    const Result<std::vector<ProcessInfo>> found = find_tree(tree, known);
    for (const ProcessInfo& process : found ? *found : std::vector<ProcessInfo>())
      spdlog::warn("Process {} is left of the {} of a worker that was killed; it is ended", process.text(),
                   record.service);
    Result<std::vector<ProcessInfo>> still = co_await sweep_tree(tree, known, limit);
    if (!still) co_return still.error();
    if (still->empty()) {
      remove_launch_cgroup(record.cgroup);
      records.end(record.mark);
    }
    survivors.insert(survivors.end(), still->begin(), still->end());
  }
  co_return survivors;
}

Awaitable<Result<std::vector<ProcessInfo>>> end_remains(std::string name, ProcessTree tree,
                                                        LaunchRecords* records, SweepTree sweep) {
  const std::string mark = tree.mark;
  Awaitable<Result<std::vector<ProcessInfo>>> sweeping = sweep(std::move(tree), {}, kRemainsLimit);
  Result<std::vector<ProcessInfo>> left = co_await std::move(sweeping);
  if (!left) {
    spdlog::error("{}: cannot end what it left: {}", name, left.error().message);
    co_return left;
  }
  for (const ProcessInfo& process : *left)
    spdlog::error("{}: cannot end process {}: it withstands SIGKILL", name, process.text());
  if (records != nullptr && left->empty()) records->end(mark);
  co_return left;
}

}  // namespace cppworker
