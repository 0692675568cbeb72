// Whether a request's head may be believed: strict RFC 9112, before any parser of ours or of the inference
// server can understand it in another way.
//
// A head that two parsers read differently lets a client smuggle a second request past the signature check.
// So there is no repair: two lengths, a length and a coding, a folded line, a bare CR or LF, a blank before
// the colon are refused, whatever a lenient reader would make of them. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <boost/system/result.hpp>

#include "proxy/request_head.hpp"

namespace cppworker {

// Clients of all three generations send fewer than 20. Hyper, which TGI stands on, reads 100 and no more, and
// the proxy adds two of its own (message_heads.hpp): what it lets in, the inference server takes.
inline constexpr std::size_t kMostHeadersUpstream = 100;
inline constexpr std::size_t kMostHeaders = kMostHeadersUpstream - 2;

struct HeadProblem {
  int status;             // 400, 417, 431, 501 or 505
  std::string_view text;  // says what is wrong, and repeats nothing
};

using RequestHeadResult = boost::system::result<RequestHead, HeadProblem>;
[[noreturn]] void throw_exception_from_error(const HeadProblem& problem, const boost::source_location&);

// `head` is everything up to the empty line that ends it, which is included, and is copied.
//
// A target with a scheme and a host before it ("absolute-form", which a server must take, RFC 9112 section
// 3.2.2) has the head's Host in it, or isn't let pass: two parsers could take it to be for different servers.
RequestHeadResult read_request_head(std::string_view head);

// As read_request_head, of a head that isn't complete yet, as far as it can be told: for bytes that will
// never become a good head, so that nobody waits for the rest. `head` is what has come so far, and `progress`
// how far that was looked at already: a head that comes byte by byte is read once, not once for each byte.
struct HeadProgress {
  std::size_t line = 0;  // where the line begins that may go on; those before it are good
  std::size_t seen = 0;  // up to here there is no end of it
};
std::optional<HeadProblem> check_unfinished_head(std::string_view head, HeadProgress& progress);
inline std::optional<HeadProblem> check_unfinished_head(std::string_view head) {
  HeadProgress none;
  return check_unfinished_head(head, none);
}

// Of a chunked body's trailers, whose end is the empty line at the end of `trailers`: their lines must be as
// a head's are, and none may say where a request ends or for whom it is (RFC 9110 section 6.5.1). They aren't
// forwarded; but what reads them leniently could take them for something else.
std::optional<HeadProblem> check_trailers(std::string_view trailers);

}  // namespace cppworker
