// A chunked body alone, behind a head that is good: a change of a byte is one of a chunk's, not of a
// header's.
#include "tests/fuzz/requests.hpp"

namespace cppworker::fuzz {

void check_input(std::string_view input) {
  check_requests("POST /i HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(input));
}

}  // namespace cppworker::fuzz
