// Takes the body of a request apart: who signed it, what is to be forwarded, to which session it belongs
// (protocol section 2: the flat and the wrapped shape).
//
// All that comes out are slices of the body, which has to outlive them; nothing is copied, so forwarding the
// pieces one after the other sends the client's own bytes. Pure, any thread. The body is checked whole: what
// is forwarded is strict JSON, and no member that decides about access stands twice in it, however it is
// spelled (a parser that takes the first one and a parser that takes the last would disagree about what was
// signed).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <boost/container/static_vector.hpp>
#include <boost/system/result.hpp>

#include "common/json_scan.hpp"

namespace cppworker {

// The JSON values as the client wrote them, strings with their quotes; empty: not there. Their types and
// sizes are checked, so that what follows costs little: `signature`, `endpoint` and `url` are strings, `cost`
// is a number or a string, `reqnum` and `request_idx` are integers.
struct AuthFields {
  std::string_view signature;
  std::string_view cost;
  std::string_view endpoint;
  std::string_view reqnum;
  std::string_view url;
  std::string_view request_idx;

  std::uint64_t reqnum_value = 0;                 // of `reqnum`
  std::optional<std::int64_t> request_idx_value;  // null counts as not there
};

// Limits on what is looked at before a signature was checked. In bytes of the JSON value, quotes included.
inline constexpr std::size_t kLongestSignature = 4096;  // an 8192-bit signature has 1368 characters
inline constexpr std::size_t kLongestUrl = 2048;
inline constexpr std::size_t kLongestEndpoint = 1024;
inline constexpr std::size_t kLongestCost = 400;  // the longest double that is written out in full has 343

// Five auth members cut out of a flat body leave at most six runs, and the two braces.
using PayloadPieces = boost::container::static_vector<std::string_view, 8>;

// The members of a payload, as long as they are few: who prices the request needn't look for them again.
class FewMembers {
 public:
  void add(const JsonMember& member) {
    if (members_.size() < members_.capacity())
      members_.push_back(member);
    else
      all_ = false;
  }
  JsonObject of(std::string_view object) const {
    return all_ ? JsonObject(object, {members_.data(), members_.size()}) : JsonObject(object);
  }

 private:
  // tgi's payloads have 2 or 3, OpenAI's rarely more.
  boost::container::static_vector<JsonMember, 8> members_;
  bool all_ = true;
};

struct Envelope {
  bool wrapped = false;
  AuthFields auth;
  std::string_view auth_data;       // the wrapper's member, whole; empty when the body is flat
  PayloadPieces payload_pieces;     // one after the other: the bytes to forward
  std::string_view payload_object;  // to read from: the payload, or the whole body when it is flat
  std::string_view session_id;      // a JSON string with its quotes; empty: none, or null
  FewMembers payload_members;       // of payload_object

  // Lives as long as this envelope, and as the body.
  JsonObject payload() const { return payload_members.of(payload_object); }
  std::size_t payload_size() const;
};

enum class EnvelopeFault { kInvalidJson, kTooDeep, kNotAnObject, kUnsigned, kMissing, kWrong, kRepeated };

struct EnvelopeError {
  EnvelopeFault fault;
  int status;        // 401 or 422 (protocol section 3)
  std::string body;  // JSON; repeats nothing of what the client sent
};

using EnvelopeResult = boost::system::result<Envelope, EnvelopeError>;
[[noreturn]] void throw_exception_from_error(const EnvelopeError& error, const boost::source_location&);

// With `auth_required` false (UNSECURED) the auth members may be missing; those that are there are checked,
// and not forwarded, all the same.
EnvelopeResult parse_envelope(std::string_view body, bool auth_required = true,
                              int max_depth = kDefaultJsonDepth);

}  // namespace cppworker
