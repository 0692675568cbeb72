// Faults under load, at random times: a worker must come back from each, with its books in order.
//
// One round does every fault once, in an order that the seed decides; rounds go on for as long as was asked
// for. Exits 0 when all is as it must be, 1 when not, 2 when it can't begin.
//
// Each check of the end can fail. A change to one is tried as it was at first, from outside while `--only`
// one fault runs: a thousandth of a unit is added to a total in the ledger; a report, or a deletion, that the
// stand-in has got is posted to it again; the ledger's queue of finished requests is emptied, or its window
// of replays; a process with the worker's environment is left running; the proxy is killed during a fault
// that excuses nothing; hold_timeout_s is 0; a preloaded pipe2() keeps a descriptor, or 1 MiB, of each
// launch.
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iostream>
#include <random>
#include <CLI/CLI.hpp>

#include "books.hpp"
#include "report.hpp"
#include "resources.hpp"
#include "told.hpp"

namespace cppworker::chaos {
namespace {

// Before the base of the figures is taken: what is made once has been made then.
constexpr std::uint64_t kWarmUpRequests = 60;
// From one fault's recovery to the next fault.
constexpr int kShortestCalmMs = 100, kLongestCalmMs = 1500;

struct Options {
  std::uint64_t seed = 0;
  int minutes = 0;  // 0: one round
  std::vector<std::string> only;
  std::string json_file;
};

// The faults of one round: the last ones keep their places (kLast).
std::vector<const Fault*> faults_of_round(const Options& options, std::mt19937_64& random) {
  std::vector<const Fault*> order;
  for (const Fault& fault : all_faults()) order.push_back(&fault);
  std::shuffle(order.begin(), order.end() - kLast, random);
  if (!options.only.empty())
    std::erase_if(order, [&](const Fault* fault) {
      return std::ranges::find(options.only, fault->name) == options.only.end();
    });
  return order;
}

std::vector<std::string> names_of_faults() {
  std::vector<std::string> names;
  for (const Fault& fault : all_faults()) names.push_back(fault.name);
  return names;
}

Happening happen(World& world, const Fault& fault) {
  std::cerr << "chaos: " << fault.name << " …" << std::flush;
  Happening happening{.fault = &fault, .began = Clock::now(), .recovered = {}, .verdict = {}};
  happening.verdict = fault.run(world);
  happening.recovered = Clock::now();
  std::cerr << " " << happening.verdict.text << "\n";
  return happening;
}

void warm_up(World& world) {
  if (!eventually([&] { return well(world); })) throw std::runtime_error("the worker never became ready");
  {
    Load load(world);
    if (!eventually([&] { return load.served() >= kWarmUpRequests; }))
      throw std::runtime_error("the worker doesn't serve");
  }
  // On a machine that is busy enough it may just have been restarted.
  if (!eventually([&] { return well(world); })) throw std::runtime_error("the worker isn't ready any more");
}

template <class List>
void append(List& to, List from) {
  std::ranges::move(from, std::back_inserter(to));
}

std::string figure(const char* who, const Holding& before, const Holding& after) {
  return std::string(who) + ": descriptors " + std::to_string(before.descriptors) + " before, " +
         std::to_string(after.descriptors) + " after; resident " + std::to_string(before.resident_kib) +
         " KiB before, " + std::to_string(after.resident_kib) + " KiB after.";
}

void end(World& world, const Resources& before, Report& report) {
  Resources after;
  append(report.wrong, check_books(world));
  append(report.wrong, check_told(world, report.happenings));
  append(report.wrong, check_growth(world, before, after));
  report.figures = {figure("Supervisor", before.supervisor, after.supervisor),
                    figure("Proxy", before.proxy, after.proxy)};
  if (const int code = world.stop(); code != 0)
    report.wrong.push_back("the worker ended with exit code " + std::to_string(code));
  for (const pid_t pid : world.worker.tree())
    report.wrong.push_back("process " + std::to_string(pid) + " is left behind");
}

int run(const Options& options) {
  const auto began = Clock::now();
  const auto until = began + std::chrono::minutes(options.minutes);
  std::cerr << "chaos: seed " << options.seed << "\n";
  std::mt19937_64 random(options.seed);
  World world;
  warm_up(world);
  const Resources before = look_at(world);

  Report report;
  report.seed = options.seed;
  GrowthWatch growth(world);
  Load load(world);
  do {
    for (const Fault* fault : faults_of_round(options, random)) {
      std::this_thread::sleep_for(
          std::chrono::milliseconds(std::uniform_int_distribution(kShortestCalmMs, kLongestCalmMs)(random)));
      growth.look();
      report.happenings.push_back(happen(world, *fault));
    }
  } while (Clock::now() < until);
  growth.look();
  load.stop();

  for (const Outcome outcome : kOutcomes)
    report.requests[static_cast<std::size_t>(outcome)] = load.count(outcome);
  report.wrong = inexcusable(report.happenings, load.failed());
  append(report.wrong, growth.found());
  end(world, before, report);
  report.lasted = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - began);
  std::cout << markdown(report, load.failed());
  if (!options.json_file.empty()) std::ofstream(options.json_file) << as_json(report).dump(2) << "\n";
  if (!report.passed()) std::cerr << "chaos: the worker's log:\n" << world.log();
  return report.passed() ? 0 : 1;
}

}  // namespace
}  // namespace cppworker::chaos

int main(int argc, char** argv) {
  cppworker::chaos::Options options;
  options.seed = std::random_device()();
  CLI::App app("Faults under load, at random times");
  app.add_option("--seed", options.seed, "Of order and times; printed, so that a run can be repeated");
  app.add_option("--minutes", options.minutes, "Goes on for so long; without it every fault happens once");
  app.add_option("--only", options.only,
                 "These faults alone, by their names in the table; for looking closer")
      ->check(CLI::IsMember(cppworker::chaos::names_of_faults()));
  app.add_option("--json", options.json_file, "Writes the outcome there as well");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  // What is mounted for a fault is seen by this run alone, and gone with it. Without the right to it the
  // fault says so.
  if (::unshare(CLONE_NEWNS) == 0) ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  try {
    return cppworker::chaos::run(options);
  } catch (const std::exception& error) {
    std::cerr << "chaos: " << error.what() << "\n";
    return 2;
  }
}
