#include "outcome.hpp"

namespace cppworker::chaos {

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kServed:
      return "served";
    case Outcome::kLeft:
      return "left";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kCut:
      return "cut";
    case Outcome::kLost:
      return "lost";
    case Outcome::kUnclear:
      break;
  }
  return "unclear";
}

}  // namespace cppworker::chaos
