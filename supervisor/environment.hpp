// What of the worker's environment a child gets to see.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cppworker {

// "NAME=value" each; the value may hold further '='.
using Environment = std::vector<std::string>;

// Marks every process of a tree, however it was forked: children inherit it, and /proc shows it.
inline constexpr std::string_view kTreeMarkName = "CPPWORKER_TREE";

// Credentials of the worker and of the rental platform. An inference server runs strangers' models and
// prompts: with these it could report load in our name or act on the account. No backend gets them.
bool is_secret(std::string_view name);

// Whether the name is one that credentials have, ours or anybody's: HF_TOKEN, AWS_ACCESS_KEY_ID, DB_PASSWORD.
// A backend gets those that it declares (launch.secrets). All other variables pass, as no list of ours could
// tell which of them a launch script, a server or an operator's own script reads: MODEL_ID, CUDA_*, NCCL_*, …
bool looks_secret(std::string_view name);

// A pattern is a name, or the beginning of one with '*' behind it.
bool matches(std::string_view name, std::string_view pattern);
template <class Patterns>
bool matches_any(std::string_view name, const Patterns& patterns) {
  return std::any_of(std::begin(patterns), std::end(patterns),
                     [name](std::string_view pattern) { return matches(name, pattern); });
}

// The worker's own environment, as it is now.
Environment own_environment();

// Overwrites the secrets' values in this process's environment, once they were read: /proc/PID/environ shows
// it to every program of the same user, the inference server among them. Before other threads exist.
void erase_own_secrets();

// The same for all that looks secret and isn't declared, once the backend is known: neither model nor hooks
// nor health commands get what the worker hasn't got any more. Returns the names, sorted.
std::vector<std::string> erase_undeclared_secrets(const std::vector<std::string>& declared);

// `inherited` without secrets, descriptors of service managers (NOTIFY_SOCKET, LISTEN_FDS…) and marks of
// other trees, then `additions`, each replacing a variable of the same name, then the mark. Additions are the
// caller's decision and pass even where their names are secret ones.
Environment child_environment(const Environment& inherited,
                              const std::vector<std::pair<std::string, std::string>>& additions,
                              std::string_view tree_mark);

// 128 random bits in hexadecimal: nobody's environment holds it by chance or by guess.
std::string make_tree_mark();

}  // namespace cppworker
