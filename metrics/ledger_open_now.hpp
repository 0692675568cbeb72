// What a proxy has open now, beside the requests in the books: gauges, which the proxy itself says about once
// a second, so that no request pays for them.
//
// Each proxy has a place of its own, which is freed when it is settled: what a killed proxy had open is gone
// with it. No lock: a reader may see one figure of this second and another of the last.
//
// Threads and processes: one writer for each owner; any reader.
#pragma once

#include <cstdint>
#include <functional>

#include "metrics/ledger_words.hpp"

namespace cppworker {

struct OpenNow {
  std::uint64_t connections = 0;       // of clients
  std::uint64_t waiting_requests = 0;  // for a place at the inference server
  std::uint64_t waiting_bytes = 0;     // of their bodies
  std::uint64_t buffered_bytes = 0;    // of all bodies and answers that are held in memory
  bool operator==(const OpenNow&) const = default;
};

// Says so of `owner`, which isn't 0. Says nothing where more proxies than places have said something.
void write_open_now(LedgerWords words, std::uint64_t owner, const OpenNow& now);
// The sum over all proxies.
OpenNow read_open_now(LedgerWords words);
// Frees the places of those owners.
void clear_open_now(LedgerWords words, const std::function<bool(std::uint64_t owner)>& dead);

}  // namespace cppworker
