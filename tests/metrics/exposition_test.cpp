#include "metrics/exposition.hpp"

#include <gmock/gmock.h>

#include <map>
#include <regex>
#include <sstream>

#include "metrics/supervisor_families.hpp"
#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

// Parsed line by line, as a scraper does; anything it would refuse fails the test.
struct Scrape {
  std::map<std::string, double> samples;  // by "name{labels}" as it is spelled
  std::map<std::string, std::string> types;

  double at(const std::string& series) const {
    auto found = samples.find(series);
    if (found != samples.end()) return found->second;
    ADD_FAILURE() << "no series " << series;
    return -1;
  }
};

std::string family_of(const std::string& sample, const std::map<std::string, std::string>& types) {
  if (types.contains(sample)) return sample;
  for (std::string suffix : {"_bucket", "_sum", "_count"}) {
    if (!sample.ends_with(suffix)) continue;
    std::string base = sample.substr(0, sample.size() - suffix.size());
    if (types.contains(base) && types.at(base) == "histogram") return base;
  }
  return "";
}

Scrape scrape(const std::string& text) {
  static const std::regex kHelp(R"re(# HELP ([a-z_]+) \S.*)re");
  static const std::regex kType(R"re(# TYPE ([a-z_]+) (counter|gauge|histogram))re");
  static const std::regex kSample(
      R"re(([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (\S+))re");
  Scrape read;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) continue;
    if (std::regex_match(line, match, kType)) {
      EXPECT_TRUE(read.types.emplace(match[1], match[2]).second) << "declared twice: " << line;
      continue;
    }
    if (!std::regex_match(line, match, kSample)) {
      ADD_FAILURE() << "not exposition format: " << line;
      continue;
    }
    EXPECT_NE(family_of(match[1], read.types), "") << "undeclared: " << line;
    double value = std::stod(match[3]);
    EXPECT_TRUE(read.samples.emplace(match[1].str() + match[2].str(), value).second) << "twice: " << line;
  }
  return read;
}

class ExpositionTest : public LedgerTest {
 protected:
  Scrape scraped() { return scrape(exposition_text(ledger_families(ledger_->snapshot()))); }
};

TEST_F(ExpositionTest, EmptyBooksAreWellFormed) {
  Scrape read = scraped();
  EXPECT_EQ(read.at("cppworker_requests_received_total"), 0);
  EXPECT_EQ(read.at("cppworker_auth_refusals_total{reason=\"replayed\"}"), 0);
}

TEST_F(ExpositionTest, NamesFollowTheConventions) {
  ledger_->endpoint("POST /generate");
  for (const auto& [name, type] : scraped().types) {
    EXPECT_TRUE(name.starts_with("cppworker_")) << name;
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
  }
}

TEST_F(ExpositionTest, FiguresOfTheBooksAppear) {
  Acceptance wanted = request(1500, 1);
  wanted.endpoint = ledger_->endpoint("POST /generate");
  ledger_->finish(accept(wanted), {Outcome::kServed, 0.3, 0.02});
  ledger_->finish(accept(wanted), {Outcome::kErrored, 700, {}});
  accept(wanted);
  ledger_->reject(wanted.endpoint, 4000, 2);
  ledger_->count(Counter::kAuthReplayed, 3);
  ledger_->count(Counter::kBadRequest413, 2);
  ledger_->count(Counter::kBytesToClients, 12345678901);
  ledger_->acknowledge(ledger_->snapshot().totals);

  Scrape read = scraped();
  EXPECT_EQ(read.at("cppworker_requests_received_total"), 4);
  EXPECT_EQ(read.at("cppworker_work_received_total"), 8.5);
  EXPECT_EQ(read.at("cppworker_work_total{outcome=\"served\"}"), 1.5);
  EXPECT_EQ(read.at("cppworker_work_total{outcome=\"rejected\"}"), 4);
  EXPECT_EQ(read.at("cppworker_requests_total{endpoint=\"POST /generate\",outcome=\"served\"}"), 1);
  EXPECT_EQ(read.at("cppworker_requests_total{endpoint=\"POST /generate\",outcome=\"errored\"}"), 1);
  EXPECT_EQ(read.at("cppworker_requests_total{endpoint=\"POST /generate\",outcome=\"cancelled\"}"), 0);
  EXPECT_EQ(read.at("cppworker_requests_total{endpoint=\"POST /generate\",outcome=\"rejected\"}"), 1);
  EXPECT_EQ(read.at("cppworker_endpoint_work_served_total{endpoint=\"POST /generate\"}"), 1.5);
  EXPECT_EQ(read.at("cppworker_requests_in_flight"), 1);
  EXPECT_EQ(read.at("cppworker_work_in_flight"), 1.5);
  EXPECT_EQ(read.at("cppworker_finished_unreported{result=\"success\"}"), 1);
  EXPECT_EQ(read.at("cppworker_finished_unreported{result=\"failure\"}"), 2);
  EXPECT_EQ(read.at("cppworker_reports_acknowledged_total"), 1);
  EXPECT_EQ(read.at("cppworker_auth_refusals_total{reason=\"replayed\"}"), 3);
  EXPECT_EQ(read.at("cppworker_bad_requests_total{status=\"413\"}"), 2);
  EXPECT_EQ(read.at("cppworker_sent_bytes_total"), 12345678901);
}

TEST_F(ExpositionTest, WhatProxiesHaveOpenIsAddedUp) {
  ledger_->say_open(kOwner,
                    {.connections = 10, .waiting_requests = 2, .waiting_bytes = 300, .buffered_bytes = 4000});
  ledger_->say_open(kOwner + 1,
                    {.connections = 1, .waiting_requests = 1, .waiting_bytes = 1, .buffered_bytes = 1});
  Scrape read = scraped();
  EXPECT_EQ(read.at("cppworker_client_connections"), 11);
  EXPECT_EQ(read.at("cppworker_requests_waiting"), 3);
  EXPECT_EQ(read.at("cppworker_waiting_bytes"), 301);
  EXPECT_EQ(read.at("cppworker_buffered_bytes"), 4001);
}

TEST_F(ExpositionTest, HistogramsAreCumulativeAndComplete) {
  Acceptance wanted = request(1);
  wanted.endpoint = ledger_->endpoint("POST /generate");
  for (double seconds : {0.001, 0.3, 0.4, 700.0})
    ledger_->finish(accept(wanted), {Outcome::kServed, seconds, 0.02});

  Scrape read = scraped();
  const std::string name = "cppworker_request_duration_seconds";
  auto bucket = [&](const std::string& bound) {
    return read.at(name + "_bucket{endpoint=\"POST /generate\",le=\"" + bound + "\"}");
  };
  EXPECT_EQ(bucket("0.25"), 1);
  EXPECT_EQ(bucket("0.5"), 3);
  EXPECT_EQ(bucket("600"), 3);
  EXPECT_EQ(bucket("+Inf"), 4);
  EXPECT_EQ(read.at(name + "_count{endpoint=\"POST /generate\"}"), 4);
  EXPECT_NEAR(read.at(name + "_sum{endpoint=\"POST /generate\"}"), 700.701, 1e-6);
  std::size_t buckets = 0;
  for (const auto& [series, value] : read.samples) buckets += series.starts_with(name + "_bucket");
  EXPECT_EQ(buckets, ledger_layout::kHistogramBuckets);
  EXPECT_EQ(read.at("cppworker_first_byte_seconds_count{endpoint=\"POST /generate\"}"), 4);
}

TEST_F(ExpositionTest, RequestsOutsideAnyEndpointKeepTheSumRight) {
  Acceptance wanted = request(1);
  wanted.endpoint = ledger_->endpoint("POST /generate");
  ledger_->finish(accept(wanted), {});
  ledger_->finish(accept(request(1)), {});
  EXPECT_EQ(scraped().at("cppworker_requests_total{endpoint=\"\",outcome=\"served\"}"), 1);
}

TEST_F(ExpositionTest, OddEndpointNamesAreEscaped) {
  ledger_->endpoint("POST /a\"b\\c\nd");
  EXPECT_EQ(scraped().at("cppworker_requests_total{endpoint=\"POST /a\\\"b\\\\c\\nd\",outcome=\"served\"}"),
            0);
}

TEST_F(ExpositionTest, EachCounterHasASeriesOfItsOwn) {
  // In thousands, as some are thousandths of their metric's unit.
  for (std::size_t i = 0; i < kCounterCount; ++i)
    ledger_->count(static_cast<Counter>(i), 1'000'000 + 1000 * i);
  std::set<double> found;
  for (const auto& [series, value] : scraped().samples)
    if (value >= 1000) found.insert(value);
  EXPECT_EQ(found.size(), kCounterCount);
}

TEST(SupervisorFamilies, ShowWhatTheSupervisorKnows) {
  SupervisorFigures figures;
  figures.version = "0.1.0";
  figures.backend = "tgi";
  figures.model_states = {"loading", "ready"};
  figures.model_state = "ready";
  figures.ready = true;
  figures.model_restarts = {{"exit", 2}, {"health", 1}};
  figures.proxy_restarts = 3;
  figures.has_public_key = true;
  figures.unsecured = true;
  figures.reports = {4, 5, 6.5};
  figures.max_perf = 1500.5;
  figures.load_seconds = 12;
  figures.max_capacity = 8192;
  figures.uptime_seconds = 60;
  figures.processes = {{"proxy", {1 << 20, 1.5, 2, 30}}, {"model", {2 << 20, 9, 8, 40}}};

  Scrape read = scrape(exposition_text(supervisor_families(figures)));
  EXPECT_EQ(read.at("cppworker_info{version=\"0.1.0\",backend=\"tgi\"}"), 1);
  EXPECT_EQ(read.at("cppworker_model_state{state=\"loading\"}"), 0);
  EXPECT_EQ(read.at("cppworker_model_state{state=\"ready\"}"), 1);
  EXPECT_EQ(read.at("cppworker_ready"), 1);
  EXPECT_EQ(read.at("cppworker_model_restarts_total{cause=\"exit\"}"), 2);
  EXPECT_EQ(read.at("cppworker_model_restarts_total{cause=\"health\"}"), 1);
  EXPECT_EQ(read.at("cppworker_proxy_restarts_total"), 3);
  EXPECT_EQ(read.at("cppworker_public_key_present"), 1);
  EXPECT_EQ(read.at("cppworker_unsecured"), 1);
  EXPECT_EQ(read.at("cppworker_report_failures_total{message=\"worker_status\"}"), 4);
  EXPECT_EQ(read.at("cppworker_report_failures_total{message=\"delete_requests\"}"), 5);
  EXPECT_EQ(read.at("cppworker_report_lag_seconds"), 6.5);
  EXPECT_EQ(read.at("cppworker_max_perf"), 1500.5);
  EXPECT_EQ(read.at("cppworker_load_seconds"), 12);
  EXPECT_EQ(read.at("cppworker_max_capacity"), 8192);
  EXPECT_EQ(read.at("cppworker_uptime_seconds"), 60);
  EXPECT_EQ(read.at("cppworker_process_resident_memory_bytes{process=\"proxy\"}"), 1 << 20);
  EXPECT_EQ(read.at("cppworker_process_cpu_seconds_total{process=\"model\"}"), 9);
  EXPECT_EQ(read.at("cppworker_process_threads{process=\"model\"}"), 8);
  EXPECT_EQ(read.at("cppworker_process_open_fds{process=\"proxy\"}"), 30);
}

TEST(SupervisorFamilies, WhatIsUnknownHasNoSeries) {
  Scrape read = scrape(exposition_text(supervisor_families({})));
  EXPECT_FALSE(read.samples.contains("cppworker_load_seconds"));
  EXPECT_FALSE(read.samples.contains("cppworker_max_capacity"));
  EXPECT_FALSE(read.samples.contains("cppworker_report_lag_seconds")) << "nobody is reported to";
  EXPECT_EQ(read.at("cppworker_public_key_present"), 0);
  EXPECT_EQ(read.at("cppworker_unsecured"), 0);
  EXPECT_EQ(read.at("cppworker_ready"), 0);
}

}  // namespace
}  // namespace cppworker
