#include "common/token_digest.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(TokenDigestTest, IsSha256InHexadecimal) {
  EXPECT_EQ(token_digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TokenDigestTest, RecognisesItsTokenAlone) {
  std::string digest = token_digest("token");
  EXPECT_TRUE(is_token_of(digest, "token"));
  for (const char* other : {"", "Token", "token ", "toke"}) EXPECT_FALSE(is_token_of(digest, other)) << other;
  EXPECT_FALSE(is_token_of(digest, digest));
}

TEST(TokenDigestTest, WithoutADigestNoTokenIsGood) {
  EXPECT_FALSE(is_token_of("", ""));
  EXPECT_FALSE(is_token_of("", "token"));
}

}  // namespace
}  // namespace cppworker
