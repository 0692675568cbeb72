// A request's head for tests that change one thing of it at a time.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <boost/beast/http.hpp>

#include "proxy/request_head_check.hpp"

namespace cppworker {

using WrittenHead = boost::beast::http::request_header<boost::beast::http::fields>;

// As the proxy reads it; throws when it refuses it.
inline RequestHead read(const WrittenHead& written) {
  std::ostringstream text;
  text << written;
  RequestHeadResult head = read_request_head(text.str());
  if (!head) throw std::logic_error("a test's head is refused: " + std::string(head.error().text));
  return *std::move(head);
}

}  // namespace cppworker
