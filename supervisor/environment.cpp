#include "supervisor/environment.hpp"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

namespace cppworker {
namespace {

constexpr std::array<std::string_view, 5> kSecrets = {
    "MASTER_TOKEN",       // authenticates worker_status reports and management requests
    "mtoken",             // the same, to the oldest generation
    "CONTAINER_API_KEY",  // the rental platform's key for this instance
    "VAST_API_KEY",       // the account's
    "JUPYTER_TOKEN",      // opens a shell on the instance
};

// Talk between the worker and what started it: a child that answered would speak for the worker.
constexpr std::array<std::string_view, 6> kServiceManager = {
    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

std::string_view name_part(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

template <class Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool is_secret(std::string_view name) {
  return contains(kSecrets, name);
}

Environment own_environment() {
  Environment made;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) made.emplace_back(*entry);
  return made;
}

void erase_own_secrets() {
  for (std::string_view name : kSecrets) {
    const std::string terminated(name);
    char* value = std::getenv(terminated.c_str());
    if (value == nullptr) continue;
    // In place: what the kernel shows is the memory that it laid out at exec.
    ::explicit_bzero(value, ::strlen(value));
    ::unsetenv(terminated.c_str());
  }
}

Environment child_environment(const Environment& inherited,
                              const std::vector<std::pair<std::string, std::string>>& additions,
                              std::string_view tree_mark) {
  auto replaced = [&](std::string_view name) {
    return std::any_of(additions.begin(), additions.end(),
                       [&](const auto& one) { return one.first == name; });
  };
  Environment made;
  for (const std::string& entry : inherited) {
    const std::string_view name = name_part(entry);
    if (name.empty() || name.size() == entry.size()) continue;
    if (is_secret(name) || contains(kServiceManager, name) || name == kTreeMarkName || replaced(name))
      continue;
    made.push_back(entry);
  }
  for (auto one = additions.begin(); one != additions.end(); ++one) {
    // The last of several with one name counts, as if they had been set one after the other.
    const bool later =
        std::any_of(one + 1, additions.end(), [&](const auto& o) { return o.first == one->first; });
    if (!later && one->first != kTreeMarkName) made.push_back(one->first + "=" + one->second);
  }
  made.push_back(std::string(kTreeMarkName) + "=" + std::string(tree_mark));
  return made;
}

std::string make_tree_mark() {
  std::random_device random;
  std::string made;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t bits = random();
    for (int shift = 28; shift >= 0; shift -= 4) made.push_back("0123456789abcdef"[(bits >> shift) & 15]);
  }
  return made;
}

}  // namespace cppworker
