#include "proxy/request_head_check.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>
#include <boost/beast/core/string.hpp>

namespace cppworker {
namespace {

using boost::beast::iequals;

// 2^63 has 19 digits: no length that fits is longer.
constexpr std::size_t kLongestLength = 18;
constexpr std::size_t kLongestMethod = 32;

enum CharClass : unsigned char { kToken = 1, kValue = 2, kTarget = 4, kHostChar = 8 };

constexpr std::array<unsigned char, 256> kClasses = [] {
  std::array<unsigned char, 256> classes{};
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kHostMarks = "-._~!$&'()*+;=:[]%";
  for (int c = 0; c < 256; ++c) {
    bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    auto in = [c](std::string_view marks) { return marks.find(static_cast<char>(c)) != marks.npos; };
    unsigned char& entry = classes[static_cast<std::size_t>(c)];
    if (alphanumeric || (c < 128 && in(kTokenMarks))) entry |= kToken;
    if (c == '\t' || (c >= ' ' && c != 127)) entry |= kValue;  // obs-text (128 and above) is opaque
    if (c > ' ' && c < 127 && c != '#') entry |= kTarget;
    if (alphanumeric || (c < 128 && in(kHostMarks))) entry |= kHostChar;
  }
  return classes;
}();

bool all_of_class(std::string_view text, CharClass wanted) {
  return std::all_of(text.begin(), text.end(),
                     [wanted](char c) { return kClasses[static_cast<unsigned char>(c)] & wanted; });
}

constexpr HeadProblem malformed(std::string_view text) {
  return {400, text};
}

// Cuts the next line off. False when it doesn't end in CR LF, or holds a CR or LF of its own.
bool next_line(std::string_view& head, std::string_view& line) {
  std::size_t end = head.find('\n');
  if (end == std::string_view::npos || end == 0 || head[end - 1] != '\r') return false;
  line = head.substr(0, end - 1);
  head.remove_prefix(end + 1);
  return line.find('\r') == std::string_view::npos;
}

std::string_view without_blanks(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return value;
}

// A target taken apart: "http://host:1/path" into "host:1" and "/path". The authority is empty where there is
// none, the path where there isn't anything that ours could be.
struct Target {
  std::string_view authority, path;
};
Target take_apart_target(std::string_view target) {
  if (target.front() == '/') return {{}, target};
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!iequals({target.data(), std::min(target.size(), scheme.size())}, {scheme.data(), scheme.size()}))
      continue;
    const std::string_view slash = target.substr(scheme.size() - 1, 1);  // a path in want of one
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find('/'), target.size());
    const std::string_view authority = target.substr(0, end);
    if (authority.empty() || !all_of_class(authority, kHostChar)) return {};
    return {authority, end < target.size() ? target.substr(end) : slash};
  }
  return {};
}

struct RequestLine {
  std::string_view method;
  std::string_view target;     // from its path on
  std::string_view authority;  // before that, if it has one
  bool http_1_0 = false;
};

std::optional<HeadProblem> read_request_line(std::string_view line, RequestLine& read) {
  std::size_t first = line.find(' ');
  std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return malformed("proxy: malformed request line");
  read.method = line.substr(0, first);
  read.target = line.substr(first + 1, last - first - 1);
  std::string_view version = line.substr(last + 1);
  if (read.method.empty() || read.method.size() > kLongestMethod || !all_of_class(read.method, kToken))
    return malformed("proxy: malformed request line");
  if (read.target.empty() || !all_of_class(read.target, kTarget))
    return malformed("proxy: malformed request target");
  const Target parts = take_apart_target(read.target);
  if (parts.path.empty())
    return malformed("proxy: the request target must begin with '/', or with http:// and the Host");
  read.authority = parts.authority;
  read.target = parts.path;
  read.http_1_0 = version == "HTTP/1.0";
  if (read.http_1_0 || version == "HTTP/1.1") return std::nullopt;
  bool other_version = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.';
  if (other_version) return HeadProblem{505, "proxy: HTTP/1.1 and HTTP/1.0 are spoken here"};
  return malformed("proxy: malformed request line");
}

// What decides where the request ends and for whom it is.
struct Framing {
  RequestLine line;
  int lengths = 0, codings = 0, hosts = 0;
  std::optional<std::uint64_t> length;

  std::optional<HeadProblem> see(HeaderName name, std::string_view value) {
    switch (name) {
      case HeaderName::kHost:
        ++hosts;
        if (!all_of_class(value, kHostChar)) return malformed("proxy: malformed Host");
        if (!line.authority.empty() &&
            !iequals({value.data(), value.size()}, {line.authority.data(), line.authority.size()}))
          return malformed("proxy: the request target is for another host than Host");
        return std::nullopt;
      case HeaderName::kExpect:
        if (!iequals({value.data(), value.size()}, "100-continue"))
          return HeadProblem{417, "proxy: no other expectation than 100-continue is met here"};
        return std::nullopt;
      case HeaderName::kContentLength:
        ++lengths;
        length = digits(value);
        if (!length) return malformed("proxy: malformed Content-Length");
        return std::nullopt;
      case HeaderName::kTransferEncoding:
        ++codings;
        if (!iequals({value.data(), value.size()}, "chunked"))
          return HeadProblem{501, "proxy: no other Transfer-Encoding than chunked is understood"};
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

  std::optional<HeadProblem> judge() const {
    if (lengths > 1) return malformed("proxy: more than one Content-Length");
    if (codings > 1) return malformed("proxy: more than one Transfer-Encoding");
    if (lengths + codings > 1) return malformed("proxy: both Content-Length and Transfer-Encoding");
    if (line.http_1_0 && codings > 0) return malformed("proxy: HTTP/1.0 has no Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && !line.http_1_0)) return malformed("proxy: there must be one Host");
    return std::nullopt;
  }

 private:
  // Digits alone: no sign, no blank, no list of equal ones.
  static std::optional<std::uint64_t> digits(std::string_view value) {
    std::uint64_t number = 0;
    if (value.empty() || value.size() > kLongestLength) return std::nullopt;
    auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (ec != std::errc{} || end != value.data() + value.size()) return std::nullopt;
    return number;
  }
};

// The lines up to the empty one, with nothing behind it; tells each to on_header(id, name, value).
template <class OnHeader>
std::optional<HeadProblem> check_headers(std::string_view lines, Framing& framing, OnHeader&& on_header) {
  std::string_view line;
  for (std::size_t headers = 0;; ++headers) {
    if (!next_line(lines, line)) return malformed("proxy: lines must end in CR LF");
    if (line.empty()) break;
    if (headers == kMostHeaders) return HeadProblem{431, "proxy: too many headers"};
    if (line.front() == ' ' || line.front() == '\t') return malformed("proxy: folded header lines");
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return malformed("proxy: malformed header");
    std::string_view name = line.substr(0, colon);
    std::string_view value = without_blanks(line.substr(colon + 1));
    if (!all_of_class(name, kToken)) return malformed("proxy: malformed header name");
    if (!all_of_class(value, kValue)) return malformed("proxy: control characters in a header");
    HeaderName id = header_name(name);
    if (auto problem = framing.see(id, value)) return problem;
    on_header(id, name, value);
  }
  if (!lines.empty()) return malformed("proxy: malformed request head");
  return std::nullopt;
}

}  // namespace

// One walk over the text, whose copy the head keeps.
class HeadReader {
 public:
  std::optional<HeadProblem> run(std::string_view text) {
    head.text_ = text;
    std::string_view left = head.text_;
    std::string_view line;
    if (!next_line(left, line)) return malformed("proxy: lines must end in CR LF");
    Framing framing;
    if (auto problem = read_request_line(line, framing.line)) return problem;
    head.method_ = part(framing.line.method);
    head.target_ = part(framing.line.target);
    head.http_1_0_ = framing.line.http_1_0;
    head.lines_.reserve(kUsualHeaders);
    auto keep = [this](HeaderName id, std::string_view name, std::string_view value) {
      head.lines_.push_back({id, part(name), part(value)});
    };
    if (auto problem = check_headers(left, framing, keep)) return problem;
    head.content_length_ = framing.length;
    return framing.judge();
  }

  RequestHead head;

 private:
  // As many as browsers send; more make one allocation more.
  static constexpr std::size_t kUsualHeaders = 16;

  RequestHead::Part part(std::string_view view) const {
    return {static_cast<std::uint32_t>(view.data() - head.text_.data()),
            static_cast<std::uint32_t>(view.size())};
  }
};

RequestHeadResult read_request_head(std::string_view text) {
  HeadReader reader;
  if (auto problem = reader.run(text)) return *problem;
  return std::move(reader.head);
}

void throw_exception_from_error(const HeadProblem& problem, const boost::source_location&) {
  throw std::logic_error("unchecked problem of a head: " + std::string(problem.text));
}

std::optional<HeadProblem> check_trailers(std::string_view trailers) {
  Framing framing;
  if (auto problem = check_headers(trailers, framing, [](auto&&...) {})) return problem;
  if (framing.lengths + framing.codings + framing.hosts > 0)
    return malformed("proxy: a header that can't be a trailer");
  return std::nullopt;
}

std::optional<HeadProblem> check_unfinished_head(std::string_view head, HeadProgress& progress) {
  // The last line may go on; every one before it must be whole already.
  while (true) {
    std::size_t end = head.find('\n', progress.seen);
    if (end == std::string_view::npos) break;
    std::string_view rest = head.substr(progress.line), line;
    if (!next_line(rest, line)) return malformed("proxy: lines must end in CR LF");
    RequestLine read;
    if (progress.line == 0)
      if (auto problem = read_request_line(line, read)) return problem;
    progress.line = progress.seen = end + 1;
  }
  progress.seen = head.size();
  bool first = progress.line == 0;
  // A first line of another protocol (TLS, say) is told apart by its first bytes.
  bool empty_line_begins = head == "\r";  // before the request, where it is passed over
  if (first && !head.empty() && !empty_line_begins &&
      !(kClasses[static_cast<unsigned char>(head.front())] & kToken))
    return malformed("proxy: this isn't HTTP");
  return std::nullopt;
}

}  // namespace cppworker
