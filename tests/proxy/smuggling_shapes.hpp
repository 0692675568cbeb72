// Requests whose end two parsers could see in different places, and whatever else is not quite HTTP/1.1, each
// with a name to be told apart by. The test is in smuggling_test.cpp.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {

struct Shape {
  std::string name;  // letters and digits: it becomes part of the test's name
  std::string bytes;
};
inline void PrintTo(const Shape& shape, std::ostream* out) {
  *out << "\n" << visible(shape.bytes);
}
inline std::string name_of_shape(const testing::TestParamInfo<Shape>& shape) {
  return shape.param.name;
}

class SmugglingTest : public ProxyTest, public testing::WithParamInterface<Shape> {};

// Otherwise good requests. `headers` are whole lines with their ends.
inline std::string open_with(std::string_view headers, std::string_view body) {
  return std::string("POST /open HTTP/1.1\r\nHost: h\r\n").append(headers).append("\r\n").append(body);
}
inline std::string health_with(std::string_view headers) {
  return std::string("GET /health HTTP/1.1\r\nHost: h\r\n").append(headers).append("\r\n");
}
inline std::string chunked_with(std::string_view body) {
  return open_with("Transfer-Encoding: chunked\r\n", body);
}

}  // namespace cppworker
