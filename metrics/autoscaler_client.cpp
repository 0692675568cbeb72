#include "metrics/autoscaler_client.hpp"

#include <optional>

#include "common/http_client.hpp"

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

bool is_4xx(int status) {
  return status >= 400 && status < 500;
}

// Whether the answer is about the message itself. Any other 4xx is about the token, the moment, or somebody
// in between who doesn't know the route while the autoscaler is being replaced: the same message may be taken
// later.
bool refuses_message(int status) {
  return status == 400 || status == 413 || status == 422;
}

// Addresses of which one is enough. Each exchange begins with the one that answered last: one that swallows
// connections would else delay every report by all of its tries.
struct AddressList {
  std::vector<Url> urls{};
  std::size_t first = 0;
};

// What came of a message.
struct Outcome {
  std::optional<HttpResponse> response{};  // of the first address that answered well
  Error error{};                           // otherwise: why the last one failed
  bool refused = false;                    // otherwise: whether all refuse this message
};

class HttpAutoscalerClient : public AutoscalerClient {
 public:
  HttpAutoscalerClient(std::vector<Url> addresses, AutoscalerTuning tuning)
      : addresses_{std::move(addresses)}, tuning_(tuning) {
    for (const Url& address : addresses_.urls)
      if (takes_deletions(address)) deletion_addresses_.urls.push_back(address);
  }

  Awaitable<Result<void>> post_status(nlohmann::json report) override {
    Outcome outcome = co_await post("/worker_status/", std::move(report), addresses_);
    if (!outcome.response) co_return outcome.error;
    co_return Result<void>();
  }

  Awaitable<Result<Reception>> post_deleted(nlohmann::json request) override {
    if (deletion_addresses_.urls.empty()) co_return Reception();
    Outcome outcome = co_await post("/delete_requests/", std::move(request), deletion_addresses_);
    if (outcome.response) co_return Reception();
    if (outcome.refused) co_return Reception{outcome.error.message};
    co_return outcome.error;
  }

  Awaitable<Result<std::string>> fetch_public_key() override {
    HttpRequest request;
    request.target = "/pubkey/";
    Outcome outcome = co_await exchange_with_first(std::move(request), addresses_);
    if (!outcome.response) co_return wrap("cannot fetch the public key", outcome.error);
    if (outcome.response->body.find("-----BEGIN PUBLIC KEY-----") == std::string::npos)
      co_return fail("cannot fetch the public key: the answer is no PEM public key");
    co_return std::move(outcome.response->body);
  }

 private:
  Awaitable<Outcome> post(std::string target, nlohmann::json body, AddressList& addresses) {
    HttpRequest request;
    request.method = "POST";
    request.target = target;
    request.content_type = "application/json";
    // Broken UTF-8, say in a captured error line, is replaced: a report is never lost over a byte.
    request.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    Outcome outcome = co_await exchange_with_first(std::move(request), addresses);
    if (!outcome.response) outcome.error = wrap("cannot report to " + target, outcome.error);
    co_return outcome;
  }

  // The request's target is put behind each address's own path: an address is a prefix, not a base to resolve
  // against, which would drop its path.
  Awaitable<Outcome> exchange_with_first(HttpRequest request, AddressList& addresses) {
    Outcome outcome;
    outcome.error = fail("there is no address");
    const std::size_t count = addresses.urls.size();
    const std::size_t begin = addresses.first;
    bool all_refuse = count > 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t position = (begin + i) % count;
      const Url& address = addresses.urls[position];
      HttpRequest addressed = request;
      addressed.server = address;
      addressed.target = address.path + request.target;
      outcome = co_await exchange_with_retries(std::move(addressed));
      if (outcome.response) {
        addresses.first = position;
        co_return outcome;
      }
      all_refuse = all_refuse && outcome.refused;
    }
    outcome.refused = all_refuse;
    co_return outcome;
  }

  Awaitable<Outcome> exchange_with_retries(HttpRequest request) {
    std::string address = request.server.text();
    Outcome outcome;
    for (int attempt = 1; attempt <= tuning_.tries; ++attempt) {
      if (attempt > 1) co_await sleep_for(tuning_.pause);
      HttpRequest again = request;
      auto response = co_await http_exchange(std::move(again), tuning_.try_limit, kLargestAnswer);
      if (response && response->ok()) {
        outcome.response = std::move(*response);
        break;
      }
      outcome.error = wrap(address, response ? fail(answered(response->status)) : response.error());
      // It understood, and refuses: the same again won't help.
      if (response && is_4xx(response->status)) {
        outcome.refused = refuses_message(response->status);
        break;
      }
    }
    co_return outcome;
  }

  AddressList addresses_, deletion_addresses_;
  const AutoscalerTuning tuning_;
};

}  // namespace

std::unique_ptr<AutoscalerClient> make_autoscaler_client(std::vector<Url> addresses,
                                                         AutoscalerTuning tuning) {
  return std::make_unique<HttpAutoscalerClient>(std::move(addresses), tuning);
}

}  // namespace cppworker
