// Speaks to the autoscaler: reports, finished requests, the public key. Retries; the first address that
// answers well is enough, and the next message begins with it.
//
// Threads: the coroutines run on the executor of whoever awaits them; one client serves several at once.
// Errors: why the last address failed. They never hold the body that was sent, which has MASTER_TOKEN in it,
// nor the answer's, which may repeat it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "common/async.hpp"
#include "common/result.hpp"
#include "common/url.hpp"

namespace cppworker {

// How a message fared that was answered.
struct Reception {
  // Why every address refuses this very message, however often it is sent: "…: it answered 422". Empty:
  // taken.
  std::string refusal;

  bool taken() const { return refusal.empty(); }
};

class AutoscalerClient {
 public:
  virtual ~AutoscalerClient() = default;

  virtual Awaitable<Result<void>> post_status(nlohmann::json report) = 0;
  // Done without sending when no address takes it: nobody waits for these requests then.
  virtual Awaitable<Result<Reception>> post_deleted(nlohmann::json request) = 0;
  virtual Awaitable<Result<std::string>> fetch_public_key() = 0;  // PEM
};

// Protocol, section 4.
struct AutoscalerTuning {
  int tries = 3;  // per address
  std::chrono::milliseconds try_limit{10000};
  std::chrono::milliseconds pause{2000};  // between two tries of one address
};

std::unique_ptr<AutoscalerClient> make_autoscaler_client(std::vector<Url> addresses,
                                                         AutoscalerTuning tuning = {});

}  // namespace cppworker
