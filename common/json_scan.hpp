// Checks JSON and cuts it into slices of the caller's own bytes; nothing is copied or converted.
//
// A library that builds a document copies every string and can't hold a number of any size; one that parses
// on demand doesn't check what it skips. A proxy that forwards the client's bytes needs neither: it needs to
// know that all of them are JSON (RFC 8259, strictly), and where a few members lie.
//
// First validate_json() over the whole text; after that, the slices it hands out and those of the readers
// below are valid JSON values without blanks around them. The readers trust that, and stay inside their slice
// even when it isn't so. Slices live as long as the caller's bytes. Lone surrogates in escapes ("\ud83d") are
// accepted, as Python's json does; a byte order mark is not. Everything here is pure, allocates nothing and
// may run on any thread; cost is linear in the bytes, depth costs one bit a level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace cppworker {

// Real payloads nest less than 20 deep; Python's own parser gives up at about 1000, and inference servers'
// parsers below that.
inline constexpr int kDefaultJsonDepth = 256;
inline constexpr int kDeepestJson = 1024;  // of any limit asked for
inline constexpr int kLeastJsonDepth = 8;  // of one that is set: below, ordinary payloads would be refused

enum class JsonFault { kNone, kMalformed, kNotUtf8, kTooDeep };

struct JsonMember {
  std::string_view key;      // between the quotes, escapes as the client wrote them
  std::string_view value;    // a whole JSON value
  bool key_escaped = false;  // the key holds at least one backslash
};

// What a valid value is, told by its first byte.
enum class JsonType { kObject, kArray, kString, kNumber, kBoolean, kNull };
JsonType json_type(std::string_view value);

// The text as one JSON value with blanks around it.
JsonFault validate_json(std::string_view text, int max_depth = kDefaultJsonDepth);

// The same, and calls on_member(const JsonMember&) for each member of the outermost object in the same pass;
// and, where on_member takes two, on_member(parent, member) for each member of the objects that are those
// members' values: `parent` is the outer one, without its value, and is itself told afterwards.
// The calls come before the end of the text is known to be good: on a fault forget what they said.
template <class OnMember>
JsonFault validate_json_members(std::string_view text, int max_depth, OnMember&& on_member);

// An object to read from. Where whoever validated it kept its members, a reader needn't step through it
// again.
struct JsonObject {
  template <class Text>
  requires std::is_convertible_v<const Text&, std::string_view> JsonObject(const Text& text_of_it)
      : text(text_of_it) {}
  JsonObject(std::string_view text_of_it, std::span<const JsonMember> all) : text(text_of_it), members(all) {}

  std::string_view text;
  std::optional<std::span<const JsonMember>> members;  // all, in their order
};

// Without the blanks around it.
std::string_view json_trim(std::string_view text);

// The members of an object, one after the other; repeated names come as often as they stand there.
class JsonMembers {
 public:
  explicit JsonMembers(std::string_view object);
  std::optional<JsonMember> next();

 private:
  const char* at_;
  const char* end_;
};

// The items of an array, one after the other.
class JsonItems {
 public:
  explicit JsonItems(std::string_view array);
  std::optional<std::string_view> next();

 private:
  const char* at_;
  const char* end_;
};

// The value of the last member of that name, as a parser that fills a map has it; nullopt when there is none,
// or when `object` is none.
std::optional<std::string_view> find_json_member(const JsonObject& object, std::string_view name);

// Whether a key spells `name` (ASCII): "\u0063ost" is "cost", to every parser behind us.
bool json_escaped_key_is(std::string_view key, std::string_view name);
inline bool json_key_is(const JsonMember& member, std::string_view name) {
  return member.key_escaped ? json_escaped_key_is(member.key, name) : member.key == name;
}

// The characters of a string value (quotes included in the slice), escapes resolved: code points; a lone
// surrogate comes as itself, a pair as the one character it means.
class JsonCharacters {
 public:
  explicit JsonCharacters(std::string_view string_value);
  std::optional<char32_t> next();

 private:
  const char* at_;
  const char* end_;
};

// Appends the decoded string as UTF-8 (lone surrogates as their three bytes, which is then no longer UTF-8).
void append_json_string(std::string& out, std::string_view string_value);
// Writes one character the same way; `out` has room for four bytes. Returns how many it took.
std::size_t encode_utf8(char32_t character, char* out);

// Number of characters (code points) in a string value, as Python's len() counts them.
std::size_t json_string_length(std::string_view string_value);

// The double that a number value means: infinite where it is too large, zero where it is too small.
double json_number(std::string_view number_value);

// Calls visit(const JsonMember&) for each member.
template <class Visit>
void for_each_member(const JsonObject& object, Visit&& visit) {
  if (object.members) {
    for (const JsonMember& member : *object.members) visit(member);
    return;
  }
  JsonMembers members(object.text);
  while (const auto member = members.next()) visit(*member);
}

namespace detail {
// `parent`: none for a member of the outermost object.
using MemberSink = void (*)(void* context, const JsonMember* parent, const JsonMember& member);
// `levels`: down to which members are told, 0 to 2.
JsonFault validate_json(std::string_view text, int max_depth, int levels, MemberSink sink, void* context);
}  // namespace detail

template <class OnMember>
JsonFault validate_json_members(std::string_view text, int max_depth, OnMember&& on_member) {
  using Callee = std::remove_reference_t<OnMember>;
  constexpr bool kNested = std::is_invocable_v<Callee&, const JsonMember&, const JsonMember&>;
  auto sink = [](void* context, const JsonMember* parent, const JsonMember& member) {
    Callee& callee = *static_cast<Callee*>(context);
    if constexpr (kNested)
      if (parent != nullptr) return callee(*parent, member);
    callee(member);
  };
  return detail::validate_json(text, max_depth, kNested ? 2 : 1, sink,
                               const_cast<void*>(static_cast<const void*>(std::addressof(on_member))));
}

}  // namespace cppworker
