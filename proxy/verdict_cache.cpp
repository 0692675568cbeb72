#include "proxy/verdict_cache.hpp"

#include <algorithm>
#include <functional>

namespace cppworker {
namespace {

// Of a signature this much: its bits are as good as random, and whoever signs is trusted not to make them
// alike. All of it is compared.
constexpr std::size_t kHashedOfSignature = 32;

std::uint64_t hash_of(std::uint64_t key_id, std::string_view url, std::string_view signature) {
  constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15;
  std::hash<std::string_view> hash;
  return ((hash(url) ^ key_id) * kMix) ^ hash(signature.substr(0, kHashedOfSignature));
}

}  // namespace

VerdictCache::VerdictCache() : sets_(kEntries / kWays) {}

bool VerdictCache::Entry::matches(std::uint64_t other_hash, std::uint64_t other_key,
                                  std::string_view other_url, std::string_view other_signature) const {
  return last_used != 0 && hash == other_hash && key_id == other_key && url == other_url &&
         signature == other_signature;
}

bool VerdictCache::contains(std::uint64_t key_id, std::string_view url, std::string_view signature) {
  std::uint64_t hash = hash_of(key_id, url, signature);
  std::lock_guard lock(mutex_);
  for (Entry& entry : sets_[hash % sets_.size()]) {
    if (!entry.matches(hash, key_id, url, signature)) continue;
    entry.last_used = ++clock_;
    return true;
  }
  return false;
}

void VerdictCache::insert(std::uint64_t key_id, std::string_view url, std::string_view signature) {
  std::uint64_t hash = hash_of(key_id, url, signature);
  std::lock_guard lock(mutex_);
  Set& set = sets_[hash % sets_.size()];
  auto entry = std::find_if(set.begin(), set.end(), [&](const Entry& candidate) {
    return candidate.matches(hash, key_id, url, signature);
  });
  if (entry == set.end())
    entry = std::min_element(set.begin(), set.end(),
                             [](const Entry& a, const Entry& b) { return a.last_used < b.last_used; });
  *entry = {hash, key_id, ++clock_, std::string(url), std::string(signature)};
}

std::size_t VerdictCache::size() const {
  std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const Set& set : sets_)
    count += static_cast<std::size_t>(
        std::count_if(set.begin(), set.end(), [](const Entry& entry) { return entry.last_used != 0; }));
  return count;
}

}  // namespace cppworker
