// The long runs of json_bytes.hpp. GCC compiles the functions marked so for AVX2 whatever the rest of the
// program is compiled for; every x86 server of the last ten years has it.
#include "common/json_bytes.hpp"

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace cppworker::json_bytes {
namespace {

#ifdef __SSE2__

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") > 0 && __builtin_cpu_supports("popcnt") > 0;
  return has;
}

// What 64 bytes of a string hold, a bit each.
struct Block {
  std::uint64_t backslash, quote, control;
  std::uint64_t letter;  // may stand behind a backslash, without more to follow
};

__attribute__((target("avx2"), always_inline)) inline std::uint64_t mask(__m256i low, __m256i high) {
  auto bits = [](__m256i lanes) __attribute__((target("avx2"), always_inline)) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(lanes)));
  };
  return bits(low) | bits(high) << 32;
}

__attribute__((target("avx2"), always_inline)) inline __m256i equal(__m256i bytes, char c) {
  return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(c));
}

__attribute__((target("avx2"), always_inline)) inline __m256i at_most(__m256i bytes, char c) {
  return _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(c)), bytes);
}

// The letters "  /  \  b f n  r t have the upper halves 2 2 5 6 6 6 7 7: one bit for each upper half, and a
// byte is a letter when the tables of its two halves share a bit.
__attribute__((target("avx2"), always_inline)) inline __m256i not_letter(__m256i bytes) {
  const __m256i of_lower =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1));
  const __m256i of_upper =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m256i half = _mm256_set1_epi8(0x0f);
  __m256i lower = _mm256_shuffle_epi8(of_lower, _mm256_and_si256(bytes, half));
  __m256i upper = _mm256_shuffle_epi8(of_upper, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half));
  return _mm256_cmpeq_epi8(_mm256_and_si256(lower, upper), _mm256_setzero_si256());
}

__attribute__((target("avx2"), always_inline)) inline __m256i load(const char* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

__attribute__((target("avx2"), always_inline)) inline Block read_block(const char* at) {
  __m256i low = load(at);
  __m256i high = load(at + 32);
  return {mask(equal(low, '\\'), equal(high, '\\')), mask(equal(low, '"'), equal(high, '"')),
          mask(at_most(low, 0x1f), at_most(high, 0x1f)), ~mask(not_letter(low), not_letter(high))};
}

// The bytes that a backslash escapes. `carry`: whether the byte before the first was one that does, and then
// whether the last is.
std::uint64_t escaped_by(std::uint64_t backslash, std::uint64_t& carry) {
  backslash &= ~carry;
  std::uint64_t escaped = carry;
  if ((backslash & backslash << 1) == 0) {
    escaped |= backslash << 1;
    carry = backslash >> 63;
    return escaped;
  }
  // Of backslashes in a row every other one is itself escaped.
  carry = 0;
  while (backslash != 0) {
    int first = std::countr_zero(backslash);
    if (first == 63) {
      carry = 1;
      break;
    }
    escaped |= std::uint64_t{2} << first;
    backslash &= ~(std::uint64_t{3} << first);
  }
  return escaped;
}

__attribute__((target("avx2,popcnt"))) const char* skip_simple_avx2(const char* at, const char* end,
                                                                    std::size_t& escapes) {
  std::uint64_t carry = 0;
  for (; end - at >= 64; at += 64) {
    Block block = read_block(at);
    std::uint64_t before = carry;
    std::uint64_t escaped = escaped_by(block.backslash, carry);
    if ((block.control | (block.quote & ~escaped) | (escaped & ~block.letter)) != 0) {
      carry = before;
      break;
    }
    escapes += static_cast<std::size_t>(std::popcount(escaped));
  }
  // An escape that is cut in two is the caller's; it was not counted.
  return at - carry;
}

__attribute__((target("avx2,popcnt"), always_inline)) inline std::size_t count_first_bytes(__m256i low,
                                                                                           __m256i high) {
  const __m256i last_continuation = _mm256_set1_epi8(static_cast<char>(0xbf));
  return static_cast<std::size_t>(std::popcount(
      mask(_mm256_cmpgt_epi8(low, last_continuation), _mm256_cmpgt_epi8(high, last_continuation))));
}

__attribute__((target("avx2,popcnt"))) const char* count_utf8_avx2(const char* at, const char* end,
                                                                   std::size_t& characters) {
  for (; end - at >= 64; at += 64) characters += count_first_bytes(load(at), load(at + 32));
  return at;
}

__attribute__((target("avx2,popcnt"))) const char* count_string_avx2(const char* at, const char* end,
                                                                     StringCount& count,
                                                                     std::uint64_t& carry) {
  for (; end - at >= 64; at += 64) {
    const __m256i low = load(at), high = load(at + 32);
    count.characters += count_first_bytes(low, high);
    const std::uint64_t escaped = escaped_by(mask(equal(low, '\\'), equal(high, '\\')), carry);
    if (escaped == 0) continue;
    count.escapes += static_cast<std::size_t>(std::popcount(escaped));
    count.unicode |= (escaped & mask(equal(low, 'u'), equal(high, 'u'))) != 0;
  }
  return at;
}

#else

bool has_avx2() {
  return false;
}
const char* skip_simple_avx2(const char* at, const char*, std::size_t&) {
  return at;
}
const char* count_utf8_avx2(const char* at, const char*, std::size_t&) {
  return at;
}
const char* count_string_avx2(const char* at, const char*, StringCount&, std::uint64_t&) {
  return at;
}

#endif

std::size_t begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

}  // namespace

const char* skip_simple_blocks(const char* at, const char* end, std::size_t& escapes) {
  return has_avx2() ? skip_simple_avx2(at, end, escapes) : at;
}

std::size_t count_utf8(const char* at, const char* end) {
  std::size_t characters = 0;
  if (has_avx2()) at = count_utf8_avx2(at, end, characters);
  for (; at != end; ++at) characters += begins_character(*at);
  return characters;
}

StringCount count_string(const char* at, const char* end) {
  StringCount count;
  std::uint64_t escaped = 0;  // whether the byte at `at` is
  if (has_avx2()) at = count_string_avx2(at, end, count, escaped);
  for (; at != end; ++at) {
    count.characters += begins_character(*at);
    if (escaped != 0) {
      ++count.escapes;
      count.unicode |= *at == 'u';
      escaped = 0;
    } else {
      escaped = *at == '\\';
    }
  }
  return count;
}

}  // namespace cppworker::json_bytes
