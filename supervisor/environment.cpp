#include "supervisor/environment.hpp"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

namespace cppworker {
namespace {

constexpr std::array<std::string_view, 6> kSecrets = {
    "MASTER_TOKEN",       // authenticates worker_status reports and management requests
    "mtoken",             // the same, to the oldest generation
    "CONTAINER_API_KEY",  // the rental platform's key for this instance
    "VAST_API_KEY",       // the account's
    "JUPYTER_TOKEN",      // opens a shell on the instance
    "OPEN_BUTTON_TOKEN",  // the same, by its portal
};

// Talk between the worker and what started it: a child that answered would speak for the worker.
constexpr std::array<std::string_view, 6> kServiceManager = {
    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

// Not TOKENS: servers have limits of them (MAX_TOTAL_TOKENS). Not PWD: that is a folder.
constexpr std::array<std::string_view, 9> kSecretEnds = {
    "TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "_PASS", "CREDS", "CREDENTIALS"};
constexpr std::array<std::string_view, 2> kPublicEnds = {"PUBKEY", "PUBLIC_KEY"};
// In which the identities stand that go with the keys.
constexpr std::string_view kCloudPrefix = "AWS_";

std::string upper(std::string_view name) {
  std::string made(name);
  for (char& c : made)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return made;
}

template <class Ends>
bool ends_with_any(std::string_view name, const Ends& ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
}

// In place: what the kernel shows is the memory that it laid out at exec.
void erase_variable(const std::string& name) {
  char* value = std::getenv(name.c_str());
  if (value == nullptr) return;
  ::explicit_bzero(value, ::strlen(value));
  ::unsetenv(name.c_str());
}

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

bool looks_secret(std::string_view name) {
  const std::string shown = upper(name);
  if (is_secret(name)) return true;
  if (ends_with_any(shown, kPublicEnds)) return false;
  return ends_with_any(shown, kSecretEnds) || shown.starts_with(kCloudPrefix) ||
         shown.find("SECRET") != std::string::npos;
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

Environment own_environment() {
  Environment made;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) made.emplace_back(*entry);
  return made;
}

void erase_own_secrets() {
  for (std::string_view name : kSecrets) erase_variable(std::string(name));
}

std::vector<std::string> erase_undeclared_secrets(const std::vector<std::string>& declared) {
  std::vector<std::string> names;
  for (const std::string& entry : own_environment()) {
    const std::string_view name = name_part(entry);
    if (is_secret(name) || (looks_secret(name) && !matches_any(name, declared))) names.emplace_back(name);
  }
  for (const std::string& name : names) erase_variable(name);
  std::sort(names.begin(), names.end());
  return names;
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
