// The envelope and its slices, against a JSON library that builds documents: what is accepted is JSON to it,
// too, and what is forwarded is the payload that it reads.
#include <nlohmann/json.hpp>

#include "proxy/envelope.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

using nlohmann::json;

// nullopt where the library can't tell: it takes numbers only as far as they fit into a double, and escapes
// only in pairs of surrogates, which no rule of JSON asks for; and it passes over a byte order mark. A byte 0
// is the end of a text to it, and to JSON nothing at all.
std::optional<json> read(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return json(json::value_t::discarded);
  try {
    return json::parse(text);
  } catch (const json::out_of_range&) {
    return std::nullopt;
  } catch (const json::parse_error& error) {
    if (std::string_view(error.what()).find("surrogate") != std::string_view::npos) return std::nullopt;
    return json(json::value_t::discarded);
  }
}

void check(std::string_view body, bool auth_required) {
  auto envelope = parse_envelope(body, auth_required);
  std::optional<json> document = read(body);
  if (!envelope) {
    require(json::accept(envelope.error().body), "a refusal's body is JSON");
    if (envelope.error().fault == EnvelopeFault::kInvalidJson && document)
      require(document->is_discarded(), "only what isn't JSON is refused as such");
    return;
  }
  std::string forwarded;
  for (std::string_view piece : envelope->payload_pieces) {
    require(piece.data() >= body.data() && piece.data() + piece.size() <= body.data() + body.size(),
            "what is forwarded lies in the body");
    forwarded += piece;
  }
  require(forwarded.size() == envelope->payload_size(), "payload_size() is what is forwarded");
  require(validate_json(forwarded) == JsonFault::kNone, "what is forwarded is JSON");
  if (!document) return;
  require(document->is_object(), "only an object is accepted");
  if (envelope->wrapped) {
    require(read(forwarded) == document->at("payload"), "what is forwarded is the payload");
  } else {
    for (const char* name : {"signature", "cost", "endpoint", "reqnum", "url"}) document->erase(name);
    require(read(forwarded) == *document, "what is forwarded is all but the auth members");
  }
}

}  // namespace

void check_input(std::string_view input) {
  check(input, true);
  check(input, false);
}

}  // namespace cppworker::fuzz
