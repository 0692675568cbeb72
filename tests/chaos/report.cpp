#include "report.hpp"

#include <algorithm>
#include <sstream>

#include "common/logging.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

constexpr std::size_t kMostSentences = 20;  // the first ones tell; thousands more hide them

bool excuses(const Happening& happening, const Result& result) {
  const Tolerance& tolerated = happening.fault->tolerated;
  return overlap(happening, result) && ((result.outcome == Outcome::kRefused && tolerated.refused) ||
                                        (result.outcome == Outcome::kCut && tolerated.cut) ||
                                        (result.outcome == Outcome::kLost && tolerated.lost));
}

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

struct Row {
  const Fault* fault;
  int times = 0;
  double slowest = 0;
  Verdict verdict;
  std::array<std::size_t, kOutcomes.size()> seen{};
};

std::vector<Row> rows_of(const std::vector<Happening>& happenings, const std::vector<Result>& failed) {
  std::vector<Row> rows;
  for (const Happening& happening : happenings) {
    auto row = std::ranges::find(rows, happening.fault, &Row::fault);
    if (row == rows.end()) row = rows.insert(rows.end(), Row{happening.fault, 0, 0, {}, {}});
    ++row->times;
    row->slowest = std::max(row->slowest, seconds_between(happening.began, happening.recovered));
    if (row->times == 1 || happening.verdict.kind > row->verdict.kind) row->verdict = happening.verdict;
    for (const Result& result : failed)
      if (overlap(happening, result)) ++row->seen[static_cast<std::size_t>(result.outcome)];
  }
  return rows;
}

std::string clients_saw(const Row& row) {
  std::string text;
  for (const Outcome outcome : kOutcomes)
    if (const std::size_t seen = row.seen[static_cast<std::size_t>(outcome)])
      text += (text.empty() ? "" : ", ") + std::to_string(seen) + " " + std::string(name_of(outcome));
  return text.empty() ? "nothing" : text;
}

std::string text_of(const Verdict& verdict) {
  const char* kind = verdict.kind == Verdict::kRecovered ? ""
                     : verdict.kind == Verdict::kSkipped ? "SKIPPED: "
                                                         : "FAILED: ";
  return kind + verdict.text;
}

}  // namespace

bool overlap(const Happening& happening, const Result& result) {
  return result.began <= happening.recovered && happening.began <= result.ended;
}

bool Report::passed() const {
  return wrong.empty() && std::ranges::none_of(happenings, [](const Happening& happening) {
           return happening.verdict.kind == Verdict::kFailed;
         });
}

std::vector<std::string> inexcusable(const std::vector<Happening>& happenings,
                                     const std::vector<Result>& failed) {
  std::vector<std::string> found;
  for (const Result& result : failed) {
    if (std::ranges::any_of(happenings, [&](const Happening& each) { return excuses(each, result); }))
      continue;
    std::string during = "no fault";
    for (const Happening& happening : happenings)
      if (overlap(happening, result)) during = happening.fault->name;
    if (found.size() < kMostSentences)
      found.push_back("a request was " + std::string(name_of(result.outcome)) + " during " + during + ": " +
                      printable(result.detail));
  }
  return found;
}

std::string markdown(const Report& report, const std::vector<Result>& failed) {
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << "| fault | times | outcome | slowest recovery | clients saw, besides good answers |\n"
      << "|---|---|---|---|---|\n";
  for (const Row& row : rows_of(report.happenings, failed))
    out << "| " << row.fault->name << " | " << row.times << " | " << text_of(row.verdict) << " | "
        << row.slowest << " s | " << clients_saw(row) << " |\n";
  out << "\nSeed " << report.seed << ", " << report.lasted.count() << " s. Requests:";
  for (const Outcome outcome : kOutcomes)
    out << " " << report.requests[static_cast<std::size_t>(outcome)] << " " << name_of(outcome)
        << (outcome == kOutcomes.back() ? ".\n" : ",");
  for (const std::string& figure : report.figures) out << figure << "\n";
  for (const std::string& wrong : report.wrong) out << "WRONG: " << wrong << "\n";
  out << (report.passed() ? "PASSED\n" : "FAILED\n");
  return out.str();
}

json as_json(const Report& report) {
  json faults = json::array();
  for (const Happening& happening : report.happenings)
    faults.push_back({{"fault", happening.fault->name},
                      {"outcome", text_of(happening.verdict)},
                      {"seconds", seconds_between(happening.began, happening.recovered)}});
  json requests;
  for (const Outcome outcome : kOutcomes)
    requests[std::string(name_of(outcome))] = report.requests[static_cast<std::size_t>(outcome)];
  return {{"seed", report.seed},      {"seconds", report.lasted.count()}, {"faults", faults},
          {"requests", requests},     {"figures", report.figures},        {"wrong", report.wrong},
          {"passed", report.passed()}};
}

}  // namespace cppworker::chaos
