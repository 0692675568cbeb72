#include "proxy/envelope.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

#include "common/json_bytes.hpp"

namespace cppworker {
namespace {

// Where the members that matter were found. The flat shape has the first five among the payload's own
// members.
enum Name : std::size_t {
  kSignature,
  kCost,
  kEndpoint,
  kReqnum,
  kUrl,
  kRequestIdx,
  kAuthData,
  kPayload,
  kSessionId
};
constexpr std::size_t kNames = 9;
constexpr std::size_t kAuthNames = 6;
constexpr std::array<std::string_view, kNames> kSpelled = {
    "signature", "cost", "endpoint", "reqnum", "url", "request_idx", "auth_data", "payload", "session_id"};
constexpr std::array kFlatAuth = {kSignature, kCost, kEndpoint, kReqnum, kUrl};

struct Found {
  std::string_view key;  // as it stands in the body
  std::string_view value;

  bool there() const { return !value.empty(); }
};

// Everything else passes by: a body may have millions of members, none of which is stored.
class FoundMembers {
 public:
  void operator()(const JsonMember& member) {
    for (std::size_t name = 0; name < kNames; ++name) {
      if (!json_key_is(member, kSpelled[name])) continue;
      Found& found = found_[name];
      if (found.there()) repeated_ |= 1U << name;
      found.key = member.key;
      found.value = member.value;
      return;
    }
  }
  const Found& operator[](Name name) const { return found_[name]; }
  bool repeated(Name name) const { return (repeated_ >> name & 1U) != 0; }
  void forget(Name name) {
    found_[name] = {};
    repeated_ &= ~(1U << name);
  }

 private:
  std::array<Found, kNames> found_;
  unsigned repeated_ = 0;
};

// What is kept of a body in the one pass over it.
struct Collected {
  FoundMembers body;
  FoundMembers auth_data;      // of the wrapper
  FewMembers body_members;     // the payload's, when the body is flat
  FewMembers payload_members;  // and when it is wrapped

  void operator()(const JsonMember& member) {
    body(member);
    body_members.add(member);
  }
  void operator()(const JsonMember& parent, const JsonMember& member) {
    if (json_key_is(parent, kSpelled[kPayload]))
      payload_members.add(member);
    else if (json_key_is(parent, kSpelled[kAuthData]))
      auth_data(member);
  }
};

constexpr int kUnauthorized = 401;
constexpr int kUnprocessable = 422;

EnvelopeError error(EnvelopeFault fault, std::string_view name, std::string_view problem) {
  return {fault, kUnprocessable, "{\"" + std::string(name) + "\":\"" + std::string(problem) + "\"}"};
}

EnvelopeError auth_error(EnvelopeFault fault, Name name, std::string_view problem) {
  return {fault, kUnprocessable,
          "{\"auth_data\":{\"" + std::string(kSpelled[name]) + "\":\"" + std::string(problem) + "\"}}"};
}

template <class Integer>
std::optional<Integer> read_integer(std::string_view value) {
  if (value == "-0") return Integer{0};
  Integer number{};
  auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (ec != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return number;
}

// Types and sizes. What is wrong here would cost an RSA operation to refuse later, or be spelled into the
// signed text in a way that Python's json never writes.
std::optional<EnvelopeError> check_auth(const FoundMembers& found, AuthFields& auth) {
  auto wrong = [](Name name, std::string_view problem) {
    return auth_error(EnvelopeFault::kWrong, name, problem);
  };
  struct Text {
    Name name;
    std::size_t longest;
    std::string_view AuthFields::*field;
  };
  constexpr std::array kTexts = {Text{kSignature, kLongestSignature, &AuthFields::signature},
                                 Text{kUrl, kLongestUrl, &AuthFields::url},
                                 Text{kEndpoint, kLongestEndpoint, &AuthFields::endpoint}};
  for (const Text& text : kTexts) {
    const Found& member = found[text.name];
    if (!member.there()) continue;
    if (json_type(member.value) != JsonType::kString) return wrong(text.name, "must be a string");
    if (member.value.size() > text.longest + 2) return wrong(text.name, "is too long");
    auth.*text.field = member.value;
  }
  if (const Found& cost = found[kCost]; cost.there()) {
    JsonType type = json_type(cost.value);
    if (type != JsonType::kNumber && type != JsonType::kString)
      return wrong(kCost, "must be a number or a string");
    if (cost.value.size() > kLongestCost + 2) return wrong(kCost, "is too long");
    auth.cost = cost.value;
  }
  if (const Found& reqnum = found[kReqnum]; reqnum.there()) {
    auto number = read_integer<std::uint64_t>(reqnum.value);
    if (!number) return wrong(kReqnum, "must be an integer of 64 bits, not negative");
    auth.reqnum = reqnum.value;
    auth.reqnum_value = *number;
  }
  if (const Found& index = found[kRequestIdx]; index.there() && index.value != "null") {
    auth.request_idx = index.value;
    auth.request_idx_value = read_integer<std::int64_t>(index.value);
    if (!auth.request_idx_value) return wrong(kRequestIdx, "must be an integer of 64 bits");
  }
  return std::nullopt;
}

std::optional<EnvelopeError> take_auth(const FoundMembers& found, bool required, AuthFields& auth) {
  for (std::size_t name = 0; name < kAuthNames; ++name) {
    if (found.repeated(static_cast<Name>(name)))
      return auth_error(EnvelopeFault::kRepeated, static_cast<Name>(name), "given twice");
  }
  for (Name name : kFlatAuth) {
    if (required && !found[name].there())
      return auth_error(EnvelopeFault::kMissing, name, "missing parameter");
  }
  return check_auth(found, auth);
}

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

void add_piece(PayloadPieces& pieces, std::string_view piece) {
  if (piece.empty()) return;
  if (!pieces.empty() && pieces.back().data() + pieces.back().size() == piece.data()) {
    pieces.back() = between(pieces.back().data(), piece.data() + piece.size());
  } else {
    pieces.push_back(piece);
  }
}

// The body without the auth members. Each member is cut with the blanks around it; of the commas, each kept
// run of members but the first takes the one before it along.
PayloadPieces cut_members(std::string_view body, std::string_view object, const FoundMembers& found) {
  struct Cut {
    const char* begin;  // behind the comma or brace before it
    const char* end;    // at the comma or brace after it
  };
  const char* first = object.data() + 1;
  const char* close = object.data() + object.size() - 1;
  boost::container::static_vector<Cut, kFlatAuth.size()> cuts;
  for (Name name : kFlatAuth) {
    const Found& member = found[name];
    if (!member.there()) continue;
    const char* begin = member.key.data() - 1;
    while (json_bytes::skip_blanks(begin - 1, begin) == begin) --begin;
    auto next = std::find_if(cuts.begin(), cuts.end(), [&](const Cut& cut) { return cut.begin > begin; });
    cuts.insert(next, {begin, json_bytes::skip_blanks(member.value.data() + member.value.size(), close)});
  }

  PayloadPieces pieces;
  add_piece(pieces, between(body.data(), first));
  bool any_kept = false;
  auto keep = [&](const char* begin, const char* end) {
    add_piece(pieces, between(any_kept ? begin - 1 : begin, end));
    any_kept = true;
  };
  const char* at = first;
  bool ended = false;
  for (const Cut& cut : cuts) {
    if (cut.begin != at) keep(at, cut.begin - 1);
    ended = cut.end == close;
    at = ended ? close : cut.end + 1;
  }
  if (!ended) keep(at, close);
  add_piece(pieces, between(close, body.data() + body.size()));
  return pieces;
}

EnvelopeResult take_wrapped(const Collected& collected, bool auth_required) {
  const FoundMembers& found = collected.body;
  for (Name name : {kAuthData, kPayload, kSessionId})
    if (found.repeated(name)) return error(EnvelopeFault::kRepeated, kSpelled[name], "given twice");
  if (json_type(found[kAuthData].value) != JsonType::kObject)
    return error(EnvelopeFault::kWrong, "auth_data", "must be an object");
  if (!found[kPayload].there()) return error(EnvelopeFault::kMissing, "payload", "field missing");
  if (json_type(found[kPayload].value) != JsonType::kObject)
    return error(EnvelopeFault::kWrong, "payload", "must be an object");

  Envelope envelope;
  envelope.wrapped = true;
  envelope.auth_data = found[kAuthData].value;
  envelope.payload_object = found[kPayload].value;
  envelope.payload_pieces.push_back(found[kPayload].value);
  if (const Found& session = found[kSessionId]; session.there() && session.value != "null") {
    if (json_type(session.value) != JsonType::kString)
      return error(EnvelopeFault::kWrong, "session_id", "must be a string or null");
    envelope.session_id = session.value;
  }
  envelope.payload_members = collected.payload_members;
  if (auto refused = take_auth(collected.auth_data, auth_required, envelope.auth)) return *std::move(refused);
  return envelope;
}

EnvelopeResult take_flat(std::string_view body, std::string_view object, Collected& collected,
                         bool auth_required) {
  FoundMembers& found = collected.body;
  if (auth_required && !found[kSignature].there()) {
    // A payload in a wrapper of its own shows which shape was meant.
    if (json_type(found[kPayload].value) == JsonType::kObject)
      return error(EnvelopeFault::kMissing, "auth_data", "field missing");
    return EnvelopeError{EnvelopeFault::kUnsigned, kUnauthorized, R"({"error":"the signature is missing"})"};
  }
  // In this shape it is a member of the payload like any other.
  found.forget(kRequestIdx);
  Envelope envelope;
  if (auto refused = take_auth(found, auth_required, envelope.auth)) return *std::move(refused);
  envelope.payload_object = object;
  envelope.payload_members = collected.body_members;
  envelope.payload_pieces = cut_members(body, object, found);
  return envelope;
}

}  // namespace

std::size_t Envelope::payload_size() const {
  std::size_t size = 0;
  for (std::string_view piece : payload_pieces) size += piece.size();
  return size;
}

void throw_exception_from_error(const EnvelopeError& error, const boost::source_location&) {
  throw std::logic_error("unchecked error of an envelope: " + error.body);
}

EnvelopeResult parse_envelope(std::string_view body, bool auth_required, int max_depth) {
  Collected collected;
  JsonFault fault = validate_json_members(body, max_depth, collected);
  if (fault == JsonFault::kTooDeep) return error(EnvelopeFault::kTooDeep, "error", "JSON nested too deeply");
  if (fault != JsonFault::kNone) return error(EnvelopeFault::kInvalidJson, "error", "invalid JSON");
  std::string_view object = json_trim(body);
  if (json_type(object) != JsonType::kObject)
    return error(EnvelopeFault::kNotAnObject, "error", "the body must be a JSON object");
  return collected.body[kAuthData].there() ? take_wrapped(collected, auth_required)
                                           : take_flat(body, object, collected, auth_required);
}

}  // namespace cppworker
