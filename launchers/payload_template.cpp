#include "launchers/payload_template.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace cppworker {
namespace {

// Short, common words: a tokenizer spends one or two tokens on each.
constexpr std::array<std::string_view, 96> kWords = {
    "able",   "after",   "again",  "air",    "along",  "apple",   "autumn",   "bank",    "basket", "below",
    "bird",   "blue",    "boat",   "book",   "bread",  "bridge",  "bright",   "broken",  "brown",  "candle",
    "carry",  "castle",  "chair",  "chalk",  "cloud",  "coast",   "cold",     "corner",  "cotton", "deep",
    "desert", "door",    "dream",  "early",  "earth",  "echo",    "engine",   "evening", "fabric", "field",
    "finger", "fire",    "flower", "forest", "garden", "glass",   "gold",     "grain",   "green",  "harbor",
    "heavy",  "hill",    "honey",  "house",  "island", "kitchen", "lamp",     "leaf",    "letter", "light",
    "market", "meadow",  "metal",  "mirror", "moon",   "morning", "mountain", "music",   "narrow", "night",
    "north",  "ocean",   "orange", "paper",  "path",   "pencil",  "planet",   "quiet",   "rain",   "river",
    "road",   "salt",    "sand",   "shadow", "silver", "slow",    "snow",     "stone",   "story",  "summer",
    "table",  "thunder", "tree",   "valley", "winter", "yellow"};

struct Placeholder {
  int words = 0;  // 0: "${int}"
};

// What stands between "${" and "}".
std::optional<Placeholder> read_placeholder(std::string_view text) {
  if (text == "int") return Placeholder{};
  constexpr std::string_view kWordsOf = "words:";
  if (!text.starts_with(kWordsOf)) return std::nullopt;
  text.remove_prefix(kWordsOf.size());
  Placeholder found;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), found.words);
  bool usable = ec == std::errc{} && end == text.data() + text.size() && found.words >= 1 &&
                found.words <= PayloadTemplate::kMostWords;
  return usable ? std::optional(found) : std::nullopt;
}

// Calls on_text for what lies between placeholders and on_placeholder for each of them; false, and the rest
// left alone, at the first that is unknown.
template <class OnText, class OnPlaceholder>
bool take_apart(std::string_view text, OnText on_text, OnPlaceholder on_placeholder) {
  while (true) {
    std::size_t begin = text.find("${");
    on_text(text.substr(0, begin));
    if (begin == std::string_view::npos) return true;
    std::size_t end = text.find('}', begin);
    if (end == std::string_view::npos) return false;
    auto placeholder = read_placeholder(text.substr(begin + 2, end - begin - 2));
    if (!placeholder) return false;
    on_placeholder(*placeholder);
    text.remove_prefix(end + 1);
  }
}

const std::string* unknown_placeholder(const nlohmann::json& value) {
  if (value.is_structured()) {
    for (const auto& item : value)
      if (const std::string* found = unknown_placeholder(item)) return found;
  }
  if (!value.is_string()) return nullptr;
  const auto& text = value.get_ref<const std::string&>();
  bool known = take_apart(
      text, [](std::string_view) {}, [](Placeholder) {});
  return known ? nullptr : &text;
}

// The modulo's bias is of no matter here, and unlike a distribution it is the same with every library.
std::uint64_t below(std::mt19937_64& random, std::uint64_t limit) {
  return random() % limit;
}

std::string expand_text(std::string_view text, std::mt19937_64& random) {
  std::string out;
  take_apart(
      text, [&](std::string_view plain) { out += plain; },
      [&](Placeholder placeholder) {
        if (placeholder.words == 0) out += std::to_string(below(random, PayloadTemplate::kLargestInt + 1));
        for (int i = 0; i < placeholder.words; ++i) {
          if (i != 0) out += ' ';
          out += kWords[below(random, kWords.size())];
        }
      });
  return out;
}

void expand_value(nlohmann::json& value, std::mt19937_64& random) {
  if (value.is_structured()) {
    for (auto& item : value) expand_value(item, random);
  } else if (value == "${int}") {
    value = below(random, PayloadTemplate::kLargestInt + 1);
  } else if (value.is_string()) {
    value = expand_text(value.get_ref<const std::string&>(), random);
  }
}

}  // namespace

Result<PayloadTemplate> PayloadTemplate::compile(nlohmann::json payload, std::uint64_t seed) {
  if (const std::string* text = unknown_placeholder(payload))
    return fail("cannot use the benchmark payload: \"" + text->substr(0, 60) +
                "\" has a placeholder that is neither ${int} nor ${words:N} with N from 1 to " +
                std::to_string(kMostWords));
  return PayloadTemplate(std::move(payload), seed);
}

std::string PayloadTemplate::expand() {
  nlohmann::json value = payload_;
  expand_value(value, random_);
  return value.dump();
}

}  // namespace cppworker
