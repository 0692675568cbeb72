#include "proxy/session_auth.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "common/json_scan.hpp"
#include "proxy/rsa_key.hpp"

namespace cppworker {
namespace {

// What a session keeps, and as much again for blanks and escapes in another spelling of it.
constexpr std::size_t kLongest = 2 * ledger_layout::longest_text(ledger_layout::SessionText::kAuthData);

// A route answer is flat. Each level is scanned once more by the one above it, so depth costs time.
constexpr int kDeepest = 16;

// Above this a double has no fraction, and may stand for more than one integer.
constexpr double kLargestExact = 9007199254740992.0;  // 2^53

constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void append_string(std::string& out, std::string_view decoded) {
  out += 's';
  out += std::to_string(decoded.size());
  out += ':';
  out += decoded;
}

void append_number(std::string& out, std::string_view value) {
  out += '#';
  if (value.find_first_of(".eE") == std::string_view::npos) {
    // JSON allows one spelling of an integer only, but for zero.
    out += value == "-0" ? std::string_view("0") : value;
  } else {
    double number = json_number(value);
    std::array<char, 32> text;
    char *begin = text.data(), *most = text.data() + text.size(), *end;
    if (std::abs(number) >= kLargestExact)
      end = std::to_chars(begin, most, number, std::chars_format::scientific).ptr;  // no integer's spelling
    else if (number == std::trunc(number))
      end = std::to_chars(begin, most, std::int64_t(number)).ptr;
    else
      end = std::to_chars(begin, most, number).ptr;
    out.append(text.data(), end);
  }
  out += ';';
}

bool append_value(std::string& out, std::string_view value, int depth);

bool append_object(std::string& out, std::string_view object, int depth) {
  std::vector<std::pair<std::string, std::string_view>> sorted;
  JsonMembers members(object);
  while (auto member = members.next()) {
    std::string name;
    append_json_string(name, std::string_view(member->key.data() - 1, member->key.size() + 2));
    sorted.emplace_back(std::move(name), member->value);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  out += '{';
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (i + 1 < sorted.size() && sorted[i].first == sorted[i + 1].first) continue;
    append_string(out, sorted[i].first);
    if (!append_value(out, sorted[i].second, depth)) return false;
  }
  out += '}';
  return true;
}

// Every value begins with a letter of its type, and says where it ends: no two values have one spelling.
bool append_value(std::string& out, std::string_view value, int depth) {
  switch (json_type(value)) {
    case JsonType::kObject:
      return depth < kDeepest && append_object(out, value, depth + 1);
    case JsonType::kArray: {
      if (depth == kDeepest) return false;
      out += '[';
      JsonItems items(value);
      while (auto item = items.next())
        if (!append_value(out, *item, depth + 1)) return false;
      out += ']';
      return true;
    }
    case JsonType::kString: {
      std::string decoded;
      append_json_string(decoded, value);
      append_string(out, decoded);
      return true;
    }
    case JsonType::kNumber:
      append_number(out, value);
      return true;
    case JsonType::kBoolean:
    case JsonType::kNull:
      out += value.front();
      return true;
  }
  return false;
}

}  // namespace

std::optional<SessionDigest> digest_auth_data(std::string_view auth_data) {
  if (auth_data.size() > kLongest) return std::nullopt;
  std::string spelled;
  spelled.reserve(auth_data.size() + 64);
  if (!append_value(spelled, auth_data, 0)) return std::nullopt;
  return sha256(spelled);
}

bool same_auth_data(const SessionDigest& session, const std::optional<SessionDigest>& given) {
  return given && CRYPTO_memcmp(session.data(), given->data(), session.size()) == 0;
}

bool secure_random_bytes(std::span<unsigned char> bytes) {
  return RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1;
}

Result<std::string> make_session_id(const RandomBytes& random) {
  // Bytes from here on are thrown away: with them, the first letters of the alphabet would come more often.
  constexpr unsigned kUnbiased = 256 / kLetters.size() * kLetters.size();
  // One byte in 32 is thrown away. A generator that gives no 13 good ones of 1024 is broken.
  constexpr int kMostRounds = 32;
  std::string id;
  for (int round = 0; round < kMostRounds; ++round) {
    std::array<unsigned char, 32> bytes;
    if (!random(bytes)) break;
    for (unsigned char byte : bytes) {
      if (byte < kUnbiased) id += kLetters[byte % kLetters.size()];
      if (id.size() == kSessionIdLength) return id;
    }
  }
  return fail("cannot make a session's id: the random generator fails");
}

}  // namespace cppworker
