#include "tests/stand_ins/request_log.hpp"

#include <openssl/evp.h>

#include <algorithm>

namespace cppworker::stand_ins {

namespace {

constexpr std::size_t kMostEntries = 1000;  // more than a test looks at; benchmarks send without end

}  // namespace

std::string sha256_hex(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

std::shared_ptr<RequestLog::Entry> RequestLog::add(const Request& request, const std::string& body_sha256) {
  nlohmann::json headers = nlohmann::json::object();
  for (const auto& [name, value] : request.headers) {
    headers[name] = headers.contains(name) ? headers[name].get<std::string>() + ", " + value : value;
  }
  auto entry = std::make_shared<Entry>();
  entry->request = {{"method", request.method}, {"target", request.target},
                    {"path", request.path},     {"http_version", request.version},
                    {"headers", headers},       {"body", request.body},
                    {"sha256", body_sha256}};
  entries_.push_back(entry);
  if (entries_.size() > kMostEntries) entries_.pop_front();
  return entry;
}

RequestLog::Working::Working(RequestLog& log) : log_(log) {
  log_.peak_ = std::max(log_.peak_, ++log_.working_);
}

int RequestLog::received(const std::string& path) const {
  return static_cast<int>(entries(path).size());
}

int RequestLog::finished(const std::string& path) const {
  return static_cast<int>(std::count_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry->outcome != "open" && (path.empty() || entry->request["path"] == path);
  }));
}

nlohmann::json RequestLog::entries(const std::string& path) const {
  nlohmann::json result = nlohmann::json::array();
  for (const auto& entry : entries_) {
    if (!path.empty() && entry->request["path"] != path) continue;
    result.push_back(entry->request);
    result.back()["outcome"] = entry->outcome;
  }
  return result;
}

}  // namespace cppworker::stand_ins
