#include "tests/proxy/raw_message.hpp"

#include <charconv>
#include <stdexcept>
#include <boost/beast/core/string.hpp>

namespace cppworker {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

std::size_t read_number(std::string_view text, int base) {
  std::size_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::runtime_error("not a length: \"" + visible(text) + "\"");
  return number;
}

std::string nth_word(const std::string& line, int n) {
  std::size_t begin = 0;
  for (; n > 0; --n) begin = line.find(' ', begin) + 1;
  return line.substr(begin, line.find(' ', begin) - begin);
}

void read_chunks(RawSocket& socket, RawMessage& message) {
  while (true) {
    std::string chunk = read_chunk(socket);
    if (chunk.empty()) return;
    message.body += chunk;
    message.chunks.push_back(std::move(chunk));
  }
}

// False: the head doesn't tell.
bool read_framed_body(RawSocket& socket, RawMessage& message) {
  bool chunked = message.has("Transfer-Encoding");
  if (chunked && (message.header("Transfer-Encoding") != "chunked" || message.has("Content-Length")))
    throw std::runtime_error("the body's length is ambiguous");
  if (message.all("Content-Length").size() > 1) throw std::runtime_error("two Content-Length");
  if (chunked) {
    read_chunks(socket, message);
  } else if (message.has("Content-Length")) {
    message.body = socket.read_exactly(read_number(message.header("Content-Length"), 10));
  } else {
    return false;
  }
  return true;
}

}  // namespace

int RawMessage::status() const {
  return static_cast<int>(read_number(nth_word(start_line, 1), 10));
}

std::string RawMessage::method() const {
  return nth_word(start_line, 0);
}

std::string RawMessage::target() const {
  return nth_word(start_line, 1);
}

bool RawMessage::has(std::string_view name) const {
  return !all(name).empty();
}

std::string RawMessage::header(std::string_view name) const {
  auto values = all(name);
  return values.empty() ? std::string() : values.front();
}

std::vector<std::string> RawMessage::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : headers)
    if (boost::beast::iequals(key, {name.data(), name.size()})) values.push_back(value);
  return values;
}

RawMessage read_raw_head(RawSocket& socket) {
  RawMessage message;
  auto line = [&] {
    std::string text = socket.read_until(kLineEnd);
    text.resize(text.size() - kLineEnd.size());
    return text;
  };
  message.start_line = line();
  for (std::string text = line(); !text.empty(); text = line()) {
    std::size_t colon = text.find(": ");
    if (colon == std::string::npos) throw std::runtime_error("not a header: \"" + visible(text) + "\"");
    message.headers.emplace_back(text.substr(0, colon), text.substr(colon + 2));
  }
  return message;
}

std::string read_chunk(RawSocket& socket) {
  std::string line = socket.read_until(kLineEnd);
  std::size_t size = read_number(std::string_view(line).substr(0, line.size() - kLineEnd.size()), 16);
  std::string data = socket.read_exactly(size + kLineEnd.size());
  if (!data.ends_with(kLineEnd)) throw std::runtime_error("a chunk doesn't end with its line");
  data.resize(size);
  return data;
}

RawMessage read_raw_request(RawSocket& socket) {
  RawMessage message = read_raw_head(socket);
  read_framed_body(socket, message);
  return message;
}

RawMessage read_raw_response(RawSocket& socket, bool bodiless) {
  RawMessage message = read_raw_head(socket);
  int status = message.status();
  if (bodiless || status == 204 || status == 304 || status < 200) return message;
  if (read_framed_body(socket, message)) return message;
  message.body = socket.read_to_end();
  if (socket.end() == RawSocket::End::kReset) throw std::runtime_error("the response broke off");
  return message;
}

}  // namespace cppworker
