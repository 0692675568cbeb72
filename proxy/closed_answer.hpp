// Whether an answer that ends with its connection is whole. Nothing in HTTP tells: a server that dies in the
// middle ends it the same way as one that is done (RFC 9112 section 8). text-generation-webui 1.7 answers so,
// and sends its 200 before it generates: what is empty, or JSON whose outermost bracket stays open, broke
// off.
//
// Looks at the body piece by piece and keeps two bytes of it. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace cppworker {

class ClosedAnswer {
 public:
  // `content_type` as the head has it; empty: none was given.
  explicit ClosedAnswer(std::string_view content_type)
      : may_be_json_(content_type.empty() || content_type.find("json") != std::string_view::npos) {}

  void see(std::string_view piece) {
    constexpr std::string_view kBlanks = " \t\r\n";
    empty_ = empty_ && piece.empty();
    std::size_t begin = piece.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return;
    if (first_ == 0) first_ = piece[begin];
    last_ = piece[piece.find_last_not_of(kBlanks)];
  }

  bool whole() const {
    if (empty_) return false;
    if (!may_be_json_) return true;
    if (first_ == '{') return last_ == '}';
    if (first_ == '[') return last_ == ']';
    return true;
  }

 private:
  const bool may_be_json_;
  bool empty_ = true;
  char first_ = 0, last_ = 0;  // that are no blanks
};

}  // namespace cppworker
