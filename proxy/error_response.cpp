#include "proxy/error_response.hpp"

#include <boost/beast/http/status.hpp>
#include <nlohmann/json.hpp>

namespace cppworker {

Refusal refuse(int status, std::string_view text) {
  Refusal refusal;
  refusal.status = status;
  refusal.body = nlohmann::json{{"error", text}}.dump();
  return refusal;
}

std::string refusal_response(const Refusal& refusal, bool keep_alive, std::string_view request_id) {
  std::string out = "HTTP/1.1 " + std::to_string(refusal.status) + " ";
  out += reason_phrase(refusal.status);
  out += "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(refusal.body.size());
  if (refusal.retry_after_s > 0) out += "\r\nRetry-After: " + std::to_string(refusal.retry_after_s);
  if (!refusal.allow.empty()) out += "\r\nAllow: " + refusal.allow;
  if (!request_id.empty()) out.append("\r\nX-Request-Id: ").append(request_id);
  out += keep_alive && !refusal.close ? "\r\nConnection: keep-alive" : "\r\nConnection: close";
  out += "\r\n\r\n";
  out += refusal.body;
  return out;
}

std::string ping_response(bool keep_alive, bool head_alone) {
  return std::string("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: ") +
         (keep_alive ? "keep-alive" : "close") + "\r\n\r\n" + (head_alone ? "" : "pong");
}

std::string_view reason_phrase(int status) {
  auto text =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

}  // namespace cppworker
