#include "supervisor/environment.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

namespace cppworker {
namespace {

using testing::Contains;
using testing::ElementsAre;

TEST(ChildEnvironment, KeepsWhatItInheritsAndAddsTheMark) {
  EXPECT_THAT(child_environment({"PATH=/bin", "HF_TOKEN=x", "EMPTY=", "A=b=c"}, {}, "m"),
              ElementsAre("PATH=/bin", "HF_TOKEN=x", "EMPTY=", "A=b=c", "CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, LeavesSecretsOut) {
  EXPECT_THAT(
      child_environment({"MASTER_TOKEN=s", "mtoken=s", "CONTAINER_API_KEY=s", "VAST_API_KEY=s"}, {}, "m"),
      ElementsAre("CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, KeepsNamesThatOnlyResembleSecrets) {
  EXPECT_THAT(child_environment({"MASTER_TOKENS=1"}, {}, "m"), Contains("MASTER_TOKENS=1"));
}

TEST(ChildEnvironment, LeavesTheServiceManagersDescriptorsOut) {
  EXPECT_THAT(child_environment({"NOTIFY_SOCKET=/run/x", "LISTEN_FDS=2"}, {}, "m"),
              ElementsAre("CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, AdditionsReplaceWhatIsInherited) {
  EXPECT_THAT(child_environment({"PORT=80", "HOME=/"}, {{"PORT", "5001"}}, "m"),
              ElementsAre("HOME=/", "PORT=5001", "CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, LastOfEqualAdditionsCounts) {
  EXPECT_THAT(child_environment({}, {{"A", "1"}, {"A", "2"}}, "m"), ElementsAre("A=2", "CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, HasOneMarkHoweverItIsNested) {
  EXPECT_THAT(child_environment({"CPPWORKER_TREE=outer"}, {{"CPPWORKER_TREE", "forged"}}, "inner"),
              ElementsAre("CPPWORKER_TREE=inner"));
}

TEST(ChildEnvironment, SkipsEntriesWithoutName) {
  EXPECT_THAT(child_environment({"=x", "NOVALUE", ""}, {}, "m"), ElementsAre("CPPWORKER_TREE=m"));
}

TEST(ChildEnvironment, OwnOneIsReadWhenAsked) {
  ::setenv("CPPWORKER_TEST_VARIABLE", "seen", 1);
  EXPECT_THAT(own_environment(), Contains("CPPWORKER_TEST_VARIABLE=seen"));
  ::unsetenv("CPPWORKER_TEST_VARIABLE");
  EXPECT_THAT(own_environment(), testing::Not(Contains("CPPWORKER_TEST_VARIABLE=seen")));
}

// In place, as /proc shows the memory itself (that it does is seen by the integration test).
TEST(OwnSecrets, AreOverwrittenWhereTheyLie) {
  ::setenv("MASTER_TOKEN", "top-secret", 1);
  ::setenv("HF_TOKEN", "stays", 1);
  const char* value = ::getenv("MASTER_TOKEN");
  erase_own_secrets();
  EXPECT_STREQ(value, "");
  EXPECT_EQ(::getenv("MASTER_TOKEN"), nullptr);
  EXPECT_STREQ(::getenv("HF_TOKEN"), "stays");
  ::unsetenv("HF_TOKEN");
}

TEST(Secrets, AreKnownByTheirNames) {
  for (const char* name : {"HF_TOKEN", "OPENAI_API_KEY", "wandb_api_key", "DB_PASSWORD", "HF_PASS",
                           "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CLIENT_SECRET_ID", "MASTER_TOKEN",
                           "mtoken", "OPEN_BUTTON_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "SSH_PASSPHRASE"})
    EXPECT_TRUE(looks_secret(name)) << name;
  for (const char* name : {"MODEL_ID", "PATH", "PWD", "OLDPWD", "MAX_TOTAL_TOKENS", "TOKENIZERS_PARALLELISM",
                           "SSH_PUBKEY", "VAST_PUBLIC_KEY", "CUDA_VISIBLE_DEVICES", "HF_HOME", "KEYBOARD"})
    EXPECT_FALSE(looks_secret(name)) << name;
}

TEST(OwnSecrets, AreErasedUnlessTheBackendDeclaresThem) {
  for (const char* name : {"HF_TOKEN", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "MASTER_TOKEN", "X_API_KEY"})
    ::setenv(name, "secret", 1);
  ::setenv("MODEL_ID", "stays", 1);
  const char* value = ::getenv("X_API_KEY");
  const auto erased = erase_undeclared_secrets({"HF_TOKEN", "AWS_*", "MASTER_*"});
  EXPECT_THAT(erased, Contains("X_API_KEY"));
  EXPECT_THAT(erased, Contains("MASTER_TOKEN")) << "whatever a backend says";
  EXPECT_THAT(erased, testing::Not(Contains(testing::StartsWith("AWS_"))));
  EXPECT_STREQ(value, "");
  EXPECT_EQ(::getenv("X_API_KEY"), nullptr);
  EXPECT_STREQ(::getenv("HF_TOKEN"), "secret");
  EXPECT_STREQ(::getenv("MODEL_ID"), "stays");
  for (const char* name : {"HF_TOKEN", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "MODEL_ID"}) ::unsetenv(name);
}

TEST(TreeMark, IsLongAndNeverTheSame) {
  const std::string one = make_tree_mark();
  EXPECT_EQ(one.size(), 32u);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(one, make_tree_mark());
}

}  // namespace
}  // namespace cppworker
