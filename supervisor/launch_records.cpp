#include "supervisor/launch_records.hpp"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <nlohmann/json.hpp>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/limit_mark.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

// A few launches at once: model, two proxies, hooks.
constexpr std::size_t kLargestFile = 64 << 10;

std::string boot_id() {
  return std::string(trim(read_file("/proc/sys/kernel/random/boot_id", 64).value_or("")));
}

// Where a mark's random digits begin; of those that go into the limits (limit_mark.hpp) seven are left, and a
// worker has a dozen trees at once.
constexpr std::size_t kFolderDigits = 8;
constexpr int kRandomBitsInLimits = 28;

// Which folder it is, however it is called; the next worker on it finds the same. FNV-1a.
std::string digits_of_folder(const std::string& folder) {
  struct stat about {};
  if (::stat(folder.c_str(), &about) != 0) return {};
  std::uint32_t hash = 2166136261;
  for (const std::uint64_t number :
       {static_cast<std::uint64_t>(about.st_dev), static_cast<std::uint64_t>(about.st_ino)})
    for (int shift = 0; shift < 64; shift += 8) hash = (hash ^ ((number >> shift) & 255)) * 16777619;
  char digits[kFolderDigits + 1];
  std::snprintf(digits, sizeof digits, "%08x", hash);
  return digits;
}

std::optional<LaunchRecord> parse_launch(const json& launch) {
  if (!launch.is_object()) return std::nullopt;
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
  if (record.mark.empty()) return std::nullopt;
  return record;
}

// What of it can be understood; `lost` when that isn't all.
std::vector<LaunchRecord> parse(const std::string& text, const std::string& boot, bool& lost) {
  std::vector<LaunchRecord> records;
  const json document = text.size() > kLargestFile ? json() : json::parse(text, nullptr, false);
  const json written_at = document.is_object() ? document.value("boot", json()) : json();
  const json launches = document.is_object() ? document.value("launches", json()) : json();
  lost = !written_at.is_string() || !launches.is_array();
  if (lost || written_at != boot) return records;
  for (const json& launch : launches) {
    std::optional<LaunchRecord> record = parse_launch(launch);
    lost = lost || !record;
    if (record) records.push_back(std::move(*record));
  }
  return records;
}

// Those that carry a mark of this folder's workers, of whom none runs: the run directory is ours alone.
Result<std::set<ProcessKey>> find_marked(const LaunchRecords& records) {
  const Result<std::vector<ProcessInfo>> all = list_processes();
  if (!all) return all.error();
  std::set<ProcessKey> found;
  for (const ProcessInfo& process : *all) {
    if (!records.has_marked(process)) continue;
    // Not one that has got the number since the list was made.
    const auto now = look_at_process(process.pid);
    if (now && now->start_time == process.start_time) found.insert({process.pid, process.start_time});
  }
  return found;
}

Awaitable<Result<std::vector<ProcessInfo>>> end_tree_left(ProcessTree tree, std::set<ProcessKey> known,
                                                          std::string of, std::chrono::milliseconds limit) {
  const Result<std::vector<ProcessInfo>> found = find_tree(tree, known);
  for (const ProcessInfo& process : found ? *found : std::vector<ProcessInfo>())
    spdlog::warn("Process {} is left of the {} of a worker that was killed; it is ended", process.text(), of);
  co_return co_await sweep_tree(tree, known, limit);
}

}  // namespace

LaunchRecords::LaunchRecords(std::string path) : path_(std::move(path)), boot_(boot_id()) {
  folder_digits_ = digits_of_folder(std::filesystem::path(path_).parent_path().string());
  const auto text = read_file(path_, kLargestFile + 1);
  if (text && text->empty()) return;  // as a power cut may leave it: nothing runs any more
  if (text) records_ = parse(*text, boot_, lost_);
  if (!text) lost_ = ::access(path_.c_str(), F_OK) == 0;
  if (!lost_) return;
  const std::string aside = path_ + ".unreadable";
  const bool moved = ::rename(path_.c_str(), aside.c_str()) == 0;
  spdlog::warn("{} makes no sense{}; what a worker before this one has left is looked for by its marks alone",
               path_, moved ? " and is kept as " + aside : "");
}

std::string LaunchRecords::make_mark() const {
  std::string mark = make_tree_mark();
  return mark.replace(0, folder_digits_.size(), folder_digits_);
}

bool LaunchRecords::has_marked(const ProcessInfo& process) const {
  if (folder_digits_.empty()) return false;
  const std::uint64_t ours = limit_mark_of(make_mark()) >> kRandomBitsInLimits;
  if (limit_mark_of_process(process.pid) >> kRandomBitsInLimits == ours) return true;
  if (is_held_by_kernel(process)) return false;  // process_tree.hpp
  const auto mark = environment_value(process.pid, kTreeMarkName);
  return mark && mark->starts_with(folder_digits_);
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

std::string make_mark(const LaunchRecords* records) {
  return records != nullptr ? records->make_mark() : make_tree_mark();
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
    Result<std::vector<ProcessInfo>> still = co_await end_tree_left(tree, known, record.service, limit);
    if (!still) co_return still.error();
    if (still->empty()) {
      remove_launch_cgroup(record.cgroup);
      records.end(record.mark);
    }
    survivors.insert(survivors.end(), still->begin(), still->end());
  }
  if (!records.lost()) co_return survivors;
  ProcessTree unrecorded;
  unrecorded.mark = make_tree_mark();  // nobody's
  Result<std::set<ProcessKey>> marked = find_marked(records);
  if (!marked) co_return marked.error();
  const std::string of = "launches";
  Result<std::vector<ProcessInfo>> still = co_await end_tree_left(unrecorded, *marked, of, limit);
  if (!still) co_return still.error();
  survivors.insert(survivors.end(), still->begin(), still->end());
  co_return survivors;
}

PostMortem post_mortem_of_left_behind(const std::vector<ProcessInfo>& survivors) {
  PostMortem made;
  made.service = "worker";
  made.cause = "left_behind";
  made.ended = std::chrono::system_clock::now();
  for (const ProcessInfo& survivor : survivors) made.survivors.push_back(survivor.text());
  made.summary =
      fmt::format("process {} of a worker before this one withstands SIGKILL; the machine needs a restart",
                  fmt::join(made.survivors, ", "));
  return made;
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
