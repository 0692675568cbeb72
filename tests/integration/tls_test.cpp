// A whole worker that serves TLS: its certificate made by the signing service, and replaced while it works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "tests/common/test_certificates.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = asio::ssl;
using nlohmann::json;
using ::testing::HasSubstr;

const std::string kUrl = "https://203.0.113.9:41234";

// A client that believes any certificate and says whose it is.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port) : stream_(io_, context_) {
    stream_.next_layer().connect({asio::ip::address_v4::loopback(), port}, error_);
    if (!error_) stream_.handshake(ssl::stream_base::client, error_);
  }
  bool connected() const { return !error_; }

  std::string name() {
    const std::shared_ptr<X509> shown(SSL_get1_peer_certificate(stream_.native_handle()), X509_free);
    char name[100] = "";
    if (shown)
      X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
    return name;
  }
  void send(const std::string& target, const json& body) {
    http::request<http::string_body> request(http::verb::post, target, 11, body.dump());
    request.set(http::field::host, "worker");
    request.prepare_payload();
    http::write(stream_, request, error_);
  }
  http::response<http::string_body> read_response() {
    http::response<http::string_body> response;
    http::read(stream_, buffer_, response, error_);
    return response;
  }
  // Of a stream: what there is up to and including the next `mark`. False: the stream was cut.
  bool read_until(const std::string& mark) {
    std::size_t size = asio::read_until(stream_, asio::dynamic_buffer(streamed_), mark, error_);
    streamed_.erase(0, size);
    return !error_;
  }

 private:
  asio::io_context io_;
  ssl::context context_{ssl::context::tls_client};
  ssl::stream<asio::ip::tcp::socket> stream_;
  boost::beast::flat_buffer buffer_;
  std::string streamed_;  // of a stream, and not yet read
  boost::system::error_code error_;
};

class TlsWorkerTest : public ::testing::Test {
 protected:
  json settings() {
    return {{"public_url", kUrl},
            {"tls",
             {{"certificate", "instance.crt"},
              {"key", "instance.key"},
              {"sign_url", autoscaler_.url() + "/sign_cert"}}}};
  }
  json signed_request(const std::string& prompt) {
    return {{"auth_data", autoscaler_.route({{"url", kUrl}})},
            {"payload", {{"inputs", prompt}, {"parameters", {{"max_new_tokens", 4}}}}}};
  }
  // Connections are closed until the certificate is there, and requests refused until the model is.
  TlsClient connect_when(std::uint16_t port, const std::string& name) {
    bool served = eventually([&] {
      TlsClient client(port);
      return client.connected() && client.name() == name;
    });
    if (served) return TlsClient(port);
    throw std::runtime_error("no certificate for " + name + " is served");
  }

  Autoscaler autoscaler_;
};

TEST_F(TlsWorkerTest, GetsACertificateServesUnderItAndTakesItsReplacementWithoutDroppingAStream) {
  Worker worker(autoscaler_, "tgi",
                {{"USE_SSL", "true"}, {"STAND_IN_EVENTS", "100000"}, {"STAND_IN_EVENT_INTERVAL_MS", "20"}},
                settings());
  json report =
      autoscaler_.wait_for_report([](const json& one) { return one["loadtime"].get<double>() > 0; });
  ASSERT_FALSE(report.is_null()) << worker.process().output();
  EXPECT_EQ(report["url"], kUrl);

  TlsClient client = connect_when(worker.port(), "signed");
  client.send("/generate", signed_request("hello"));
  auto response = client.read_response();
  EXPECT_EQ(response.result_int(), 200u) << response.body();
  EXPECT_EQ(exchange_raw(worker.port(), "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n").find("HTTP"),
            std::string::npos);

  json body = signed_request("hello");
  body["payload"]["parameters"]["max_new_tokens"] = 100'000;
  client.send("/generate_stream", body);
  ASSERT_TRUE(client.read_until("data:"));
  const TestKey key = make_ec_key();
  std::ofstream(worker.folder() + "/instance.key") << private_pem(key.get());
  std::ofstream(worker.folder() + "/instance.crt") << self_signed(key, {.name = "replaced"});
  TlsClient next = connect_when(worker.port(), "replaced");
  next.send("/generate", signed_request("again"));
  EXPECT_EQ(next.read_response().result_int(), 200u);
  for (int event = 0; event < 20; ++event) ASSERT_TRUE(client.read_until("data:")) << "cut at " << event;
}

TEST_F(TlsWorkerTest, ServesNobodyWithoutACertificateAndReportsWhy) {
  post(autoscaler_.port(), "/fail", R"({"path": "/sign_cert/", "times": 1000, "status": 403})");
  Worker worker(autoscaler_, "tgi", {{"USE_SSL", "true"}}, settings());
  json report = autoscaler_.wait_for_report([](const json& one) {
    return one["error_msg"].get<std::string>().find("cannot get a certificate") != std::string::npos;
  });
  ASSERT_FALSE(report.is_null()) << worker.process().output();
  EXPECT_EQ(report["loadtime"], 0);
  EXPECT_THAT(get(worker.admin_port(), "/readyz").body, HasSubstr("certificate: cannot get a certificate"));
  EXPECT_FALSE(TlsClient(worker.port()).connected());
  EXPECT_EQ(exchange_raw(worker.port(), "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n"), "");
}

}  // namespace
}  // namespace cppworker::testing
