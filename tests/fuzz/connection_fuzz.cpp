// Any bytes as requests on one connection.
#include "tests/fuzz/requests.hpp"

namespace cppworker::fuzz {

void check_input(std::string_view input) {
  check_requests(input);
}

}  // namespace cppworker::fuzz
