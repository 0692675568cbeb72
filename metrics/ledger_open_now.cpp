#include "metrics/ledger_open_now.hpp"

#include <array>

#include "metrics/ledger_layout.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

constexpr std::array kFigures = {&OpenNow::connections, &OpenNow::waiting_requests, &OpenNow::waiting_bytes,
                                 &OpenNow::buffered_bytes};
static_assert(kOpenNowFigures + kFigures.size() == kOpenNowWords);

}  // namespace

void write_open_now(LedgerWords words, std::uint64_t owner, const OpenNow& now) {
  for (std::size_t i = 0; i < kProxies; ++i) {
    if (!words.claim(open_now(i) + kOpenNowOwner, owner)) continue;
    for (std::size_t f = 0; f < kFigures.size(); ++f)
      words.store(open_now(i) + kOpenNowFigures + f, now.*kFigures[f]);
    return;
  }
}

OpenNow read_open_now(LedgerWords words) {
  OpenNow sum;
  for (std::size_t i = 0; i < kProxies; ++i) {
    if (words.load(open_now(i) + kOpenNowOwner) == 0) continue;
    for (std::size_t f = 0; f < kFigures.size(); ++f)
      sum.*kFigures[f] += words.load(open_now(i) + kOpenNowFigures + f);
  }
  return sum;
}

void clear_open_now(LedgerWords words, const std::function<bool(std::uint64_t)>& dead) {
  for (std::size_t i = 0; i < kProxies; ++i) {
    const std::uint64_t owner = words.load(open_now(i) + kOpenNowOwner);
    if (owner == 0 || !dead(owner)) continue;
    for (std::size_t f = 0; f < kFigures.size(); ++f) words.store(open_now(i) + kOpenNowFigures + f, 0);
    words.store(open_now(i) + kOpenNowOwner, 0);
  }
}

}  // namespace cppworker
