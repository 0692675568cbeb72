// libFuzzer's way in.
#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  cppworker::fuzz::check_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
