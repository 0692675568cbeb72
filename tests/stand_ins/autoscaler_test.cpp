// The stand-in for the autoscaler: what it signs, records and fails.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <fstream>
#include <future>
#include <sstream>

#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/route_signer.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kAutoscaler = std::string(CPPWORKER_BIN_DIR) + "/stand_in_autoscaler";

bool verified(const std::string& pem, const std::string& text, const std::string& base64_signature) {
  std::string signature(base64_signature.size(), '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(signature.data()),
                                   reinterpret_cast<const unsigned char*>(base64_signature.data()),
                                   static_cast<int>(base64_signature.size()));
  BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* key = PEM_read_bio_PUBKEY(memory, nullptr, nullptr, nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key);
  const std::size_t length = static_cast<std::size_t>(EVP_PKEY_get_size(key));  // decoding pads with zeros
  const bool good =
      size > 0 && EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()), length,
                                   reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  BIO_free(memory);
  return good;
}

TEST(AutoscalerProgram, SignsRoutesForTheWorkerThatReportedLast) {
  Program autoscaler({kAutoscaler, "--port", "0"}, {});
  const std::uint16_t port = autoscaler.wait_for_port();
  EXPECT_THAT(post(port, "/route/", R"({"endpoint":"e","cost":1})").text, StartsWith("HTTP/1.1 503 "));
  post(port, "/worker_status/", R"({"id":1,"url":"http://203.0.113.9:4000"})");
  const std::string pem = get(port, "/pubkey/").body();
  const json full = post(port, "/route/", R"({"endpoint":"e","cost":1e-07})").parsed();
  EXPECT_EQ(full["url"], "http://203.0.113.9:4000");
  EXPECT_TRUE(verified(pem,
                       "{\n    \"cost\": 1e-07,\n    \"endpoint\": \"e\",\n    \"reqnum\": 1,\n"
                       "    \"url\": \"http://203.0.113.9:4000\"\n}",
                       full["signature"]));
  const json url =
      post(port, "/route/", R"({"endpoint":"e","cost":1,"covers":"url","url":"http://w"})").parsed();
  EXPECT_TRUE(verified(pem, "{\n    \"url\": \"http://w\"\n}", url["signature"]));
  EXPECT_FALSE(verified(pem, "{\n    \"url\": \"http://v\"\n}", url["signature"]));
  EXPECT_EQ(url["reqnum"], 2);
  EXPECT_EQ(url["request_idx"], 2);
}

TEST(AutoscalerProgram, RecordsReportsWaitsForThemAndFailsWhenTold) {
  const std::string log = temporary_folder() + "/log";
  Program autoscaler({kAutoscaler, "--port", "0", "--log", log}, {});
  const std::uint16_t port = autoscaler.wait_for_port();
  auto waiting =
      std::async(std::launch::async, [port] { return get(port, "/reports/wait?after=1").parsed(); });
  post(port, "/worker_status/", R"({"id":1,"mtoken":"secret"})");
  post(port, "/fail", R"({"path":"/worker_status/","times":2,"status":500})");
  EXPECT_THAT(post(port, "/worker_status/", R"({"id":9})").text, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(post(port, "/worker_status/", R"({"id":9})").text, StartsWith("HTTP/1.1 500 "));
  post(port, "/worker_status/", R"({"id":2})");
  const json reports = waiting.get();
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0]["mtoken"], "secret");
  EXPECT_EQ(reports[1]["id"], 2);
  post(port, "/fail", R"({"path":"/delete_requests/","times":1,"status":0})");
  EXPECT_EQ(post(port, "/delete_requests/", "{}").text, "");
  std::stringstream written;
  written << std::ifstream(log).rdbuf();
  EXPECT_THAT(written.str(), HasSubstr(R"("mtoken":"***")"));
  EXPECT_THAT(written.str(), Not(HasSubstr("secret")));
}

TEST(AutoscalerProgram, SpellsNumbersAndStringsAsPythonDoes) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"256", "256"},        {"300.0", "300.0"},
      {"0.1", "0.1"},        {"1e22", "1e+22"},
      {"1.5E22", "1.5e+22"}, {"1e15", "1000000000000000.0"},
      {"1e16", "1e+16"},     {"0.0001", "0.0001"},
      {"0.00001", "1e-05"},  {"\"\\u00e9\\ud83d\\ude00\\u007f\\n\"", "\"\\u00e9\\ud83d\\ude00\\u007f\\n\""}};
  for (const auto& [sent, spelled] : cases) {
    EXPECT_EQ(python_spelling(nlohmann::ordered_json::parse(sent)), spelled) << sent;
  }
}

}  // namespace
}  // namespace cppworker::stand_ins
