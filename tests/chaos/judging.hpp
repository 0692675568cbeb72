// What came of an exchange, in the words of outcome.hpp.
#pragma once

#include <functional>
#include <string>

#include "tls_exchange.hpp"
#include "world.hpp"

namespace cppworker::chaos {

// A POST of JSON, on a connection of its own.
std::string post_text(const std::string& target, const std::string& body);

struct Judged {
  Result result;
  std::string body;  // of a whole answer
};
// Whether a whole answer of that good status is what was asked for.
using IsRight = std::function<bool(int status, const std::string& body)>;

// One exchange with the worker, on a connection of its own. Blocks. Any thread.
Judged judged_exchange(World& world, const std::string& request, const Manner& manner,
                       const IsRight& is_right);

}  // namespace cppworker::chaos
