// The ledger's figures as Prometheus families, and families as text (exposition format 0.0.4).
//
// Pure. Names begin with cppworker_, units are base units (seconds, bytes) or work units, counters end in
// _total. The counters come from the ledger's file and survive restarts of every process.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

#include "metrics/ledger_snapshot.hpp"

namespace cppworker {

inline constexpr const char* kExpositionContentType = "text/plain; version=0.0.4; charset=utf-8";

using Families = std::vector<prometheus::MetricFamily>;
using Labels = std::vector<std::pair<std::string, std::string>>;

Families ledger_families(const LedgerSnapshot& books);
std::string exposition_text(const Families& families);

// Adds one series to a family: family("cppworker_ready", …), then add_gauge(…) for each set of labels.
prometheus::MetricFamily family(std::string name, std::string help, prometheus::MetricType type);
void add_counter(prometheus::MetricFamily& family, const Labels& labels, double value);
void add_gauge(prometheus::MetricFamily& family, const Labels& labels, double value);
// A family of one series without labels.
void add_plain_gauge(Families& families, const char* name, const char* help, double value);

}  // namespace cppworker
