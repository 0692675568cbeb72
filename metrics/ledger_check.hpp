// Tells whether the books sum up: asked once when a supervisor continues a file, since a machine that lost
// power may have written some pages and not others.
#pragma once

#include <optional>
#include <string>

#include "metrics/ledger_words.hpp"

namespace cppworker {

// What contradicts itself; nullopt when nothing does. Under the ledger's lock.
std::optional<std::string> find_contradiction(LedgerWords words);

}  // namespace cppworker
