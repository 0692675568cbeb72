#include "metrics/autoscaler_client.hpp"

#include "common/http_client.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

// An RSA key of 8192 bits is 1.5 kB of PEM; an answer to a report says little.
constexpr std::size_t kLargestAnswer = 64 * 1024;

// The older address of the account API, which has no /delete_requests/.
bool takes_deletions(const Url& address) {
  return !(address.tls && address.host == "cloud.vast.ai" && address.path == "/api/v0");
}

std::string answered(int status) {
  return "it answered " + std::to_string(status);
}

class HttpAutoscalerClient : public AutoscalerClient {
 public:
  HttpAutoscalerClient(std::vector<Url> addresses, AutoscalerTuning tuning)
      : addresses_(std::move(addresses)), tuning_(tuning) {
    for (const Url& address : addresses_)
      if (takes_deletions(address)) deletion_addresses_.push_back(address);
  }

  Awaitable<Result<void>> post_status(nlohmann::json report) override {
    return post("/worker_status/", std::move(report), addresses_);
  }

  Awaitable<Result<void>> post_deleted(nlohmann::json request) override {
    return post("/delete_requests/", std::move(request), deletion_addresses_);
  }

  Awaitable<Result<std::string>> fetch_public_key() override {
    HttpRequest request;
    request.target = "/pubkey/";
    auto response = co_await exchange_with_first(std::move(request), addresses_);
    if (!response) co_return wrap("cannot fetch the public key", response.error());
    if (response->body.find("-----BEGIN PUBLIC KEY-----") == std::string::npos)
      co_return fail("cannot fetch the public key: the answer is no PEM public key");
    co_return std::move(response->body);
  }

 private:
  Awaitable<Result<void>> post(std::string target, nlohmann::json body, const std::vector<Url>& addresses) {
    if (addresses.empty()) co_return Result<void>();
    HttpRequest request;
    request.method = "POST";
    request.target = target;
    request.content_type = "application/json";
    // Broken UTF-8, say in a captured error line, is replaced: a report is never lost over a byte.
    request.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    auto response = co_await exchange_with_first(std::move(request), addresses);
    if (!response) co_return wrap("cannot report to " + target, response.error());
    co_return Result<void>();
  }

  // The request's target is put behind each address's own path: an address is a prefix, not a base to resolve
  // against, which would drop its path.
  Awaitable<Result<HttpResponse>> exchange_with_first(HttpRequest request,
                                                      const std::vector<Url>& addresses) {
    Error last = fail("there is no address");
    for (const Url& address : addresses) {
      HttpRequest addressed = request;
      addressed.server = address;
      addressed.target = address.path + request.target;
      auto response = co_await exchange_with_retries(std::move(addressed));
      if (response) co_return response;
      last = response.error();
    }
    co_return last;
  }

  Awaitable<Result<HttpResponse>> exchange_with_retries(HttpRequest request) {
    std::string address = request.server.text();
    Error last;
    for (int attempt = 1; attempt <= tuning_.tries; ++attempt) {
      if (attempt > 1) co_await sleep_for(tuning_.pause);
      HttpRequest again = request;
      auto response = co_await http_exchange(std::move(again), tuning_.try_limit, kLargestAnswer);
      if (response && response->ok()) co_return response;
      last = wrap(address, response ? fail(answered(response->status)) : response.error());
      // It understood, and refuses: the same again won't help.
      if (response && response->status >= 400 && response->status < 500) break;
    }
    co_return last;
  }

  const std::vector<Url> addresses_;
  std::vector<Url> deletion_addresses_;
  const AutoscalerTuning tuning_;
};

}  // namespace

Result<std::vector<Url>> parse_report_addresses(std::string_view text) {
  std::vector<Url> addresses;
  for (const std::string& part : split_list(text, ',')) {
    auto url = parse_url(part);
    if (!url) return wrap("cannot use the report address", url.error());
    addresses.push_back(std::move(*url));
  }
  if (addresses.empty()) return fail("cannot use the report addresses: there is none");
  return addresses;
}

std::unique_ptr<AutoscalerClient> make_autoscaler_client(std::vector<Url> addresses,
                                                         AutoscalerTuning tuning) {
  return std::make_unique<HttpAutoscalerClient>(std::move(addresses), tuning);
}

}  // namespace cppworker
