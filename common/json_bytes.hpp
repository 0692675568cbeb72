// The byte-level scanning under json_scan; for others, use json_scan.hpp first.
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

// From inside a string on: the first quote or control character, or `end`. At each backslash before that it
// calls on_escape(at), which says where to go on (behind at, not behind end); nullptr ends the scan, with
// nullptr. Strings are most of what a request holds (prompts, images in base64), so this is most of the
// scanner's work; and since prompts are full of "\\n", a backslash doesn't begin the block of 16 bytes anew.
template <class OnEscape>
const char* scan_string_body(const char* at, const char* end, OnEscape&& on_escape) {
#ifdef __SSE2__
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1f);
  while (end - at >= 16) {
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

// Number of characters in valid UTF-8: the bytes that don't continue one.
inline std::size_t count_utf8(const char* at, const char* end) {
  std::size_t count = 0;
#ifdef __SSE2__
  const __m128i last_continuation = _mm_set1_epi8(static_cast<char>(0xbf));
  while (end - at >= 16) {
    // Lanes count down to -255 at most before they are summed up.
    __m128i lanes = _mm_setzero_si128();
    for (int blocks = 0; blocks < 255 && end - at >= 16; ++blocks, at += 16) {
      __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      lanes = _mm_sub_epi8(lanes, _mm_cmpgt_epi8(bytes, last_continuation));
    }
    __m128i sums = _mm_sad_epu8(lanes, _mm_setzero_si128());
    count += static_cast<std::size_t>(_mm_cvtsi128_si64(sums)) +
             static_cast<std::size_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
  }
#endif
  for (; at != end; ++at) count += (static_cast<unsigned char>(*at) & 0xc0) != 0x80;
  return count;
}

}  // namespace cppworker::json_bytes
