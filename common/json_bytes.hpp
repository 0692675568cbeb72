// The byte-level scanning under json_scan; for others, use json_scan.hpp first.
//
// Short texts are scanned inline, 16 bytes at a time. Long ones (a prompt of a whole book, an image in
// base64) go to functions of wider steps, which are chosen when the program runs: they aren't bound by
// instructions any more but by the memory's bandwidth.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace cppworker::json_bytes {

inline const char* skip_blanks(const char* at, const char* end) {
  while (at != end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
  return at;
}

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The value of a hexadecimal digit, or -1.
inline int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A string of which this much was scanned inline is taken for a long one: what a call costs is little beside
// it.
inline constexpr std::size_t kLongRun = 256;

// From inside a string on, and not behind an escape's backslash: over blocks that hold nothing but characters
// and escapes of one letter ("\\n"), which it adds to `escapes`. Where it ends, something else is less than
// 64 bytes away, or the end is; or this processor hasn't got what it takes.
const char* skip_simple_blocks(const char* at, const char* end, std::size_t& escapes);

// From inside a string on: the first quote or control character, or `end`. At each backslash before that it
// calls on_escape(at), which says where to go on (behind at, not behind end); nullptr ends the scan, with
// nullptr. Of valid escapes of one letter in a long string it may tell on_simple(how many) instead. Strings
// are most of what a request holds (prompts, images in base64), so this is most of the scanner's work; and
// since prompts are full of "\\n", a backslash doesn't begin the block of 16 bytes anew.
template <class OnEscape, class OnSimple>
const char* scan_string_body(const char* at, const char* end, OnEscape&& on_escape, OnSimple&& on_simple) {
#ifdef __SSE2__
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1f);
  const char* inline_from = at;
  while (end - at >= 16) {
    if (static_cast<std::size_t>(at - inline_from) >= kLongRun) {
      std::size_t escapes = 0;
      at = inline_from = skip_simple_blocks(at, end, escapes);
      on_simple(escapes);
      if (end - at < 16) break;
    }
    const char* block = at;
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    __m128i either = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
    auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(either, control)));
    at = block + 16;
    while (found != 0) {
      const char* stop = block + std::countr_zero(found);
      if (*stop != '\\') return stop;
      const char* next = on_escape(stop);
      if (next == nullptr) return nullptr;
      if (next - block >= 16) {
        at = next;
        break;
      }
      found &= ~0U << (next - block);
    }
  }
#endif
  while (at != end && *at != '"' && static_cast<unsigned char>(*at) > 0x1f) {
    if (*at != '\\') {
      ++at;
    } else if ((at = on_escape(at)) == nullptr) {
      return nullptr;
    }
  }
  return at;
}

// The first quote, bracket or brace: what matters when a container is only to be stepped over.
inline const char* structure_stop(const char* at, const char* end) {
#ifdef __SSE2__
  // Bit 5 is what tells a brace from its bracket, and from no other character.
  const __m128i bit5 = _mm_set1_epi8(0x20);
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i open = _mm_set1_epi8('{');
  const __m128i close = _mm_set1_epi8('}');
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    __m128i folded = _mm_or_si128(bytes, bit5);
    __m128i brace = _mm_or_si128(_mm_cmpeq_epi8(folded, open), _mm_cmpeq_epi8(folded, close));
    auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(brace, _mm_cmpeq_epi8(bytes, quote))));
    if (found != 0) return at + std::countr_zero(found);
  }
#endif
  while (at != end && *at != '"' && *at != '{' && *at != '}' && *at != '[' && *at != ']') ++at;
  return at;
}

// The characters of valid UTF-8: the bytes that don't continue one.
std::size_t count_utf8(const char* at, const char* end);

// What is counted in one pass over the inside of a valid string.
struct StringCount {
  std::size_t characters = 0;  // of the text as it stands there, backslashes included
  std::size_t escapes = 0;
  bool unicode = false;  // one of them is a "\u", which stands for less than it is long
};
StringCount count_string(const char* at, const char* end);

}  // namespace cppworker::json_bytes
