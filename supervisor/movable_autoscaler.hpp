// The autoscaler at addresses that a reload may change. Threads: the supervisor's loop.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "metrics/autoscaler_client.hpp"

namespace cppworker {

class MovableAutoscaler : public AutoscalerClient {
 public:
  // Before anything else. What is under way goes on with the addresses before.
  void use(const std::vector<Url>& addresses) { client_ = make_autoscaler_client(addresses); }

  Awaitable<Result<void>> post_status(nlohmann::json report) override {
    const std::shared_ptr<AutoscalerClient> client = client_;
    co_return co_await client->post_status(std::move(report));
  }
  Awaitable<Result<Reception>> post_deleted(nlohmann::json request) override {
    const std::shared_ptr<AutoscalerClient> client = client_;
    co_return co_await client->post_deleted(std::move(request));
  }
  Awaitable<Result<std::string>> fetch_public_key() override {
    const std::shared_ptr<AutoscalerClient> client = client_;
    co_return co_await client->fetch_public_key();
  }

 private:
  std::shared_ptr<AutoscalerClient> client_;
};

}  // namespace cppworker
