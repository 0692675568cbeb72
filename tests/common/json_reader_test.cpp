#include "common/json_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cppworker {
namespace {

using testing::HasSubstr;

// The message of the ConfigError that `read` throws; empty when it throws none.
template <class Read>
std::string problem(const std::string& text, Read read) {
  nlohmann::json json;
  try {
    json = parse_config(text, "file.json");
    ConfigObject object(ConfigValue(json, "file.json", ""));
    read(object);
    object.finish();
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

void nothing(ConfigObject&) {}

TEST(JsonReader, ReadsMembersAndFallsBackToDefaults) {
  EXPECT_EQ(problem(R"({"b": true, "i": 7, "n": 0.5, "s": "x", "l": ["a", "b"]} // a comment)",
                    [](ConfigObject& object) {
                      EXPECT_TRUE(object.boolean("b", false));
                      EXPECT_EQ(object.integer("i", 1, 0, 10), 7);
                      EXPECT_EQ(object.number("n", 1, 0, 1), 0.5);
                      EXPECT_EQ(object.string("s", "y"), "x");
                      EXPECT_EQ(object.required("l").as_strings(), (std::vector<std::string>{"a", "b"}));
                      EXPECT_EQ(object.integer("missing", 3, 0, 10), 3);
                      EXPECT_EQ(object.string("absent", "y"), "y");
                    }),
            "");
}

TEST(JsonReader, AnUnknownMemberIsRefusedWithASuggestion) {
  auto known = [](ConfigObject& object) { object.integer("timeout_s", 1, 0, 10); };
  EXPECT_THAT(problem(R"({"timeout": 3})", known), HasSubstr("file.json: /timeout: is not a known setting"));
  EXPECT_THAT(problem(R"({"timeout": 3})", known), HasSubstr("did you mean \"timeout_s\"?"));
  EXPECT_THAT(problem(R"({"a/b~c": 3})", known), HasSubstr("/a~1b~0c"));
}

TEST(JsonReader, AWrongValueIsNamedWithItsPointerAndWhatWasExpected) {
  auto port = [](ConfigObject& object) { object.integer("port", 1, 1, 65535); };
  for (const char* bad : {R"({"port": 0})", R"({"port": 65536})", R"({"port": "80"})", R"({"port": 80.5})",
                          R"({"port": 18446744073709551615})", R"({"port": null})"})
    EXPECT_THAT(problem(bad, port), HasSubstr("/port: must be an integer from 1 to 65535")) << bad;
  EXPECT_THAT(problem(R"({})", [](ConfigObject& object) { object.required("name"); }),
              HasSubstr("needs a member \"name\""));
  EXPECT_THAT(problem(R"({"s": ""})", [](ConfigObject& object) { object.string("s", "x"); }),
              HasSubstr("/s: must be a string, not empty"));
  EXPECT_THAT(problem(R"({"l": [1, "x"]})", [](ConfigObject& object) { object.required("l").as_strings(); }),
              HasSubstr("/l/0: must be a string"));
  EXPECT_THAT(problem(R"({"c": "d"})",
                      [](ConfigObject& object) {
                        object.required("c").as_choice({"a", "b"});
                      }),
              HasSubstr("must be one of \"a\", \"b\""));
}

TEST(JsonReader, RepeatedMembersAndBrokenTextAreRefused) {
  EXPECT_THAT(problem(R"({"a": 1, "a": 2})", nothing), HasSubstr("stands twice"));
  EXPECT_THAT(problem("{\n  \"a\": ,\n}", nothing), HasSubstr("is not JSON at line 2, column"));
  EXPECT_THAT(problem("[1]", nothing), HasSubstr("must be an object"));
  // The library reports it by another exception than all else; found by fuzzing.
  EXPECT_THAT(problem(R"({"a": 1e400})", nothing), HasSubstr("file.json: holds a number that is too large"));
}

TEST(JsonReader, AMissingFileIsNamed) {
  try {
    load_config("/no/such/file.json");
    FAIL() << "must throw";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/no/such/file.json: cannot be read: No such file"));
  }
}

}  // namespace
}  // namespace cppworker
