// What a stand-in received, for tests to look at: GET /stand_in/requests.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <nlohmann/json.hpp>

#include "tests/stand_ins/http_server.hpp"

namespace cppworker::stand_ins {

// SHA-256 of the bytes, in hexadecimal.
std::string sha256_hex(const std::string& bytes);

class RequestLog {
 public:
  struct Entry {
    nlohmann::json request;        // method, target, headers, body, sha256
    std::string outcome = "open";  // see Exchange::outcome
  };

  std::shared_ptr<Entry> add(const Request& request, const std::string& body_sha256);

  // While one of these lives, its request counts as being worked on.
  class Working {
   public:
    explicit Working(RequestLog& log);
    ~Working() { --log_.working_; }
    Working(const Working&) = delete;

   private:
    RequestLog& log_;
  };

  int working() const { return working_; }
  int peak() const { return peak_; }
  // How many entries(path) has, and how many of them have an outcome.
  int received(const std::string& path) const;
  int finished(const std::string& path) const;
  // The entries in the order of arrival; with a path, only those for it.
  nlohmann::json entries(const std::string& path) const;

 private:
  std::deque<std::shared_ptr<Entry>> entries_;
  int working_ = 0, peak_ = 0;
};

}  // namespace cppworker::stand_ins
