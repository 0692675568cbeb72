#include "metrics/ledger_places.hpp"

#include <optional>
#include <stdexcept>

namespace cppworker {
namespace {

using namespace ledger_layout;

// The owner's entry, or a free one.
std::optional<std::size_t> own_entry(const LedgerTransaction& books, const PlaceClaim& claim) {
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < kProxies; ++i) {
    const std::size_t entry = place_holder(claim.group, i);
    const std::uint64_t owner = books.get(entry + kPlaceOwner);
    if (owner == claim.owner) return entry;
    if (owner == 0 && !free) free = entry;
  }
  return free;
}

struct Others {
  std::uint64_t inside = 0;
  std::int64_t waiting_since = 0;  // the longest; 0: nobody waits
};

Others others_of(const LedgerTransaction& books, const PlaceClaim& claim) {
  Others others;
  for (std::size_t i = 0; i < kProxies; ++i) {
    const std::size_t entry = place_holder(claim.group, i);
    const std::uint64_t owner = books.get(entry + kPlaceOwner);
    if (owner == 0 || owner == claim.owner) continue;
    others.inside += books.get(entry + kPlaceInside);
    const auto since = static_cast<std::int64_t>(books.get(entry + kPlaceWaitingSince));
    if (since != 0 && (others.waiting_since == 0 || since < others.waiting_since))
      others.waiting_since = since;
  }
  return others;
}

}  // namespace

PlaceAnswer share_places(LedgerTransaction& books, const PlaceClaim& claim) {
  if (claim.owner == 0) throw std::logic_error("a place for the owner 0, which means nobody");
  const Others others = others_of(books, claim);
  const bool wanted = claim.wanted_since != 0;
  const bool theirs_first = others.waiting_since != 0 && others.waiting_since < claim.wanted_since;
  PlaceAnswer answer;
  answer.granted = wanted && others.inside + claim.inside < claim.limit && !theirs_first;
  const std::uint64_t inside = claim.inside + (answer.granted ? 1 : 0);
  answer.tell_others = others.waiting_since != 0 && others.inside + inside < claim.limit;
  const std::optional<std::size_t> entry = own_entry(books, claim);
  if (!entry) {
    answer.granted = wanted && claim.inside < claim.limit;
    return answer;
  }
  books.set(*entry + kPlaceOwner, claim.owner);
  books.set(*entry + kPlaceInside, inside);
  books.set(*entry + kPlaceWaitingSince,
            wanted && !answer.granted ? static_cast<std::uint64_t>(claim.wanted_since) : 0);
  return answer;
}

void free_places(LedgerTransaction& books, std::size_t group,
                 const std::function<bool(std::uint64_t owner)>& dead) {
  for (std::size_t i = 0; i < kProxies; ++i) {
    const std::size_t entry = place_holder(group, i);
    const std::uint64_t owner = books.get(entry + kPlaceOwner);
    if (owner == 0 || !dead(owner)) continue;
    for (std::size_t word : {kPlaceOwner, kPlaceInside, kPlaceWaitingSince}) books.set(entry + word, 0);
  }
}

}  // namespace cppworker
