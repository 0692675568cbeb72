// What of the worker's environment a child gets to see.
#pragma once

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
// prompts: with these it could report load in our name or act on the account. (What the server itself needs,
// such as HF_TOKEN, is passed.)
bool is_secret(std::string_view name);

// The worker's own environment, as it is now.
Environment own_environment();

// Overwrites the secrets' values in this process's environment, once they were read: /proc/PID/environ shows
// it to every program of the same user, the inference server among them. Before other threads exist.
void erase_own_secrets();

// `inherited` without secrets, descriptors of service managers (NOTIFY_SOCKET, LISTEN_FDS…) and marks of
// other trees, then `additions`, each replacing a variable of the same name, then the mark. Additions are the
// caller's decision and pass even where their names are secret ones.
Environment child_environment(const Environment& inherited,
                              const std::vector<std::pair<std::string, std::string>>& additions,
                              std::string_view tree_mark);

// 128 random bits in hexadecimal: nobody's environment holds it by chance or by guess.
std::string make_tree_mark();

}  // namespace cppworker
