#include "proxy/endpoint_table.hpp"

#include <gtest/gtest.h>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

constexpr std::uint64_t kDefaultBody = 1000;

class EndpointTableTest : public LedgerTest {
 protected:
  EndpointDefinition& add(const std::string& method, const std::string& path) {
    EndpointDefinition& made = backend_.endpoints.emplace_back();
    made.method = method;
    made.path = path;
    return made;
  }
  EndpointTable table() { return EndpointTable(backend_, *ledger_, kDefaultBody, kDefaultJsonDepth, 100); }

  BackendDefinition backend_;
};

TEST_F(EndpointTableTest, FindsByMethodAndPath) {
  add("POST", "/generate");
  add("GET", "/generate");
  add("GET", "/health");
  EndpointTable endpoints = table();
  auto found = endpoints.find("GET", "/generate");
  ASSERT_NE(found.endpoint, nullptr);
  EXPECT_EQ(found.endpoint->definition.method, "GET");
  EXPECT_EQ(found.endpoint->definition.path, "/generate");
  EXPECT_EQ(found.endpoint->position, 1u);
}

TEST_F(EndpointTableTest, NamesTheMethodsThatAPathHas) {
  add("POST", "/generate");
  add("GET", "/health");
  add("PUT", "/generate");
  EndpointTable endpoints = table();
  auto found = endpoints.find("DELETE", "/generate");
  EXPECT_EQ(found.endpoint, nullptr);
  EXPECT_EQ(found.allow, "POST, PUT");
}

TEST_F(EndpointTableTest, AHeadFindsTheGetThatNeedsNoSignature) {
  add("GET", "/health").auth = EndpointDefinition::Auth::kNone;
  add("GET", "/signed");
  add("POST", "/open").auth = EndpointDefinition::Auth::kNone;
  EndpointTable endpoints = table();
  auto found = endpoints.find("HEAD", "/health");
  ASSERT_NE(found.endpoint, nullptr);
  EXPECT_EQ(found.endpoint->definition.method, "GET");
  EXPECT_EQ(endpoints.find("POST", "/health").allow, "GET, HEAD");
  for (const char* path : {"/signed", "/open"}) {
    auto none = endpoints.find("HEAD", path);
    EXPECT_EQ(none.endpoint, nullptr);
    EXPECT_EQ(none.allow.find("HEAD"), std::string::npos);
  }
  add("HEAD", "/health").auth = EndpointDefinition::Auth::kNone;
  EXPECT_EQ(table().find("HEAD", "/health").endpoint->definition.method, "HEAD");
  EXPECT_EQ(table().find("POST", "/health").allow, "GET, HEAD");
}

TEST_F(EndpointTableTest, AnUnknownPathHasNoMethods) {
  add("POST", "/generate");
  EndpointTable endpoints = table();
  for (const char* path : {"", "/", "/generate/", "/Generate", "generate", "/generat"}) {
    auto found = endpoints.find("POST", path);
    EXPECT_EQ(found.endpoint, nullptr) << path;
    EXPECT_EQ(found.allow, "") << path;
  }
}

TEST_F(EndpointTableTest, MethodsAreComparedExactly) {
  add("POST", "/generate");
  EXPECT_EQ(table().find("post", "/generate").endpoint, nullptr);
}

TEST_F(EndpointTableTest, EachEndpointHasItsCountersInTheLedger) {
  add("POST", "/generate");
  add("GET", "/health");
  EndpointTable endpoints = table();
  int generate = endpoints.find("POST", "/generate").endpoint->ledger_index;
  int health = endpoints.find("GET", "/health").endpoint->ledger_index;
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.endpoints.at(static_cast<std::size_t>(generate)).name, "POST /generate");
  EXPECT_EQ(books.endpoints.at(static_cast<std::size_t>(health)).name, "GET /health");
  // The next proxy on the same ledger goes on with them.
  EXPECT_EQ(table().find("GET", "/health").endpoint->ledger_index, health);
}

TEST_F(EndpointTableTest, ABodyLimitOfItsOwnGoesBeforeTheProxys) {
  add("POST", "/small").max_body_bytes = 10;
  add("POST", "/large").max_body_bytes = 100'000;
  add("POST", "/other");
  EndpointTable endpoints = table();
  EXPECT_EQ(endpoints.find("POST", "/small").endpoint->max_body, 10u);
  EXPECT_EQ(endpoints.find("POST", "/large").endpoint->max_body, 100'000u);
  EXPECT_EQ(endpoints.find("POST", "/other").endpoint->max_body, kDefaultBody);
}

TEST_F(EndpointTableTest, AllStandInTheirOrder) {
  for (const char* path : {"/c", "/a", "/b"}) add("GET", path);
  std::string order;
  EndpointTable endpoints = table();
  for (const Endpoint& endpoint : endpoints.all())
    order += endpoint.definition.path + std::to_string(endpoint.position);
  EXPECT_EQ(order, "/c0/a1/b2");
}

}  // namespace
}  // namespace cppworker
