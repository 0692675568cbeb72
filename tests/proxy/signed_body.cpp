#include "tests/proxy/signed_body.hpp"

#include <stdexcept>

namespace cppworker {
namespace {

std::string signed_text(const Route& route) {
  std::string url = "    \"url\": \"" + route.url + "\"\n}";
  if (route.covers == SignedText::kUrlOnly) return "{\n" + url;
  return "{\n    \"cost\": " + route.cost + ",\n    \"endpoint\": \"" + route.endpoint +
         "\",\n    \"reqnum\": " + std::to_string(route.reqnum) + ",\n" + url;
}

std::string base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the NUL that OpenSSL adds
  int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string auth_members(const Route& route) {
  return "\"signature\": \"" + signature_of(route) + "\", \"cost\": " + route.cost + ", \"endpoint\": \"" +
         route.endpoint + "\", \"reqnum\": " + std::to_string(route.reqnum) + ", \"url\": \"" + route.url +
         "\"";
}

}  // namespace

std::string signature_of(const Route& route) {
  return base64(sign(route.key.get(), signed_text(route)));
}

std::string wrapped_body(const Route& route, std::string_view payload, std::string_view more) {
  std::string body = "{\"auth_data\": {" + auth_members(route);
  if (route.request_idx) body += ", \"request_idx\": " + std::to_string(*route.request_idx);
  return body.append("}, \"payload\": ").append(payload).append(more).append("}");
}

std::string flat_body(const Route& route, std::string_view payload_members) {
  // In the flat shape request_idx would be the payload's own.
  if (route.request_idx) throw std::logic_error("a flat body has no request_idx");
  return ("{" + auth_members(route) + ", ").append(payload_members).append("}");
}

}  // namespace cppworker
