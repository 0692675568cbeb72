#include "proxy/base64.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace cppworker {
namespace {

TEST(Base64, DecodesOneSpellingOnly) {
  auto decode = [](std::string_view text) -> std::optional<std::string> {
    std::array<unsigned char, 8> out{};
    auto size = decode_base64(text, out);
    if (!size) return std::nullopt;
    return std::string(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(*size));
  };
  EXPECT_EQ(decode(""), "");
  EXPECT_EQ(decode("Zg=="), "f");
  EXPECT_EQ(decode("Zm8="), "fo");
  EXPECT_EQ(decode("Zm9v"), "foo");
  EXPECT_EQ(decode("Zm9vYmFy"), "foobar");
  EXPECT_EQ(decode("+/+/"), "\xfb\xff\xbf");
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "=Zg=", "Z=g=", "____",
                          "Zg==Zg==", "====", "Zm9vYmFyYmF6"})
    EXPECT_EQ(decode(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace cppworker
