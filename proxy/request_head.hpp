// A request's head as the client wrote it, taken apart once: the checks of request_head_check.hpp and this
// are one walk over its bytes, so that what was checked is what is used.
//
// Keeps the text, and where its parts lie: views of it are good while the head lives and isn't moved.
// Threads: its connection's own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

// The headers that the proxy decides by; all others just pass.
enum class HeaderName : std::uint8_t {
  kOther,
  kAcceptEncoding,
  kAuthorization,
  kConnection,
  kContentLength,
  kExpect,
  kHost,
  kKeepAlive,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kSecWebSocketAccept,
  kSecWebSocketExtensions,
  kSecWebSocketKey,
  kSecWebSocketProtocol,
  kSecWebSocketVersion,
  kTe,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kXRequestId,
};

// In any letter case.
HeaderName header_name(std::string_view name);

struct Header {
  HeaderName id;
  std::string_view name, value;  // without blanks around it
};

class RequestHead {
 public:
  std::string_view method() const { return view(method_); }
  bool is_get() const { return method() == "GET"; }
  bool is_head() const { return method() == "HEAD"; }
  bool is_post() const { return method() == "POST"; }
  // From its path on, also where the client wrote scheme and host before it.
  std::string_view target() const { return view(target_); }
  bool is_http_1_0() const { return http_1_0_; }

  // Whether the client wants its connection to go on (RFC 9112 section 9.3).
  bool keep_alive() const;
  // Whether there is a body, and how long it is: one without a length isn't read (RFC 9112 section 6.3).
  bool says_length() const { return content_length_ || is_chunked(); }
  bool is_chunked() const { return has(HeaderName::kTransferEncoding); }
  // Of the body, where the head says it.
  std::optional<std::uint64_t> content_length() const { return content_length_; }
  // Whether one is announced that isn't empty for certain.
  bool has_body() const { return is_chunked() || content_length_.value_or(0) > 0; }

  bool has(HeaderName id) const { return find(id) != nullptr; }
  // Whether the header, which may come in several lines, lists the token; letter case doesn't matter.
  bool lists(HeaderName id, std::string_view token) const;
  // The header's only value; nullopt when there is none, or more than one line.
  std::optional<std::string_view> only(HeaderName id) const;

  // Calls use(const Header&) for each line, in order.
  template <class Use>
  void for_each(Use&& use) const {
    for (const Line& line : lines_) use(Header{line.id, view(line.name), view(line.value)});
  }
  template <class Use>
  void for_each(HeaderName id, Use&& use) const {
    for (const Line& line : lines_)
      if (line.id == id) use(view(line.value));
  }

 private:
  friend class HeadReader;  // request_head_check.cpp

  struct Part {
    std::uint32_t begin = 0, size = 0;
  };
  struct Line {
    HeaderName id;
    Part name, value;
  };

  std::string_view view(Part part) const { return std::string_view(text_).substr(part.begin, part.size); }
  const Line* find(HeaderName id) const {
    auto line =
        std::find_if(lines_.begin(), lines_.end(), [id](const Line& other) { return other.id == id; });
    return line == lines_.end() ? nullptr : &*line;
  }

  std::string text_;
  Part method_, target_;
  std::vector<Line> lines_;
  std::optional<std::uint64_t> content_length_;
  bool http_1_0_ = false;
};

}  // namespace cppworker
