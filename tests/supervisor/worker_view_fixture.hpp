// What a worker's pages look at, of fakes, as the composition root puts it together.
#pragma once

#include <optional>
#include <string>
#include <nlohmann/json.hpp>

#include "supervisor/status_pages.hpp"
#include "tests/common/test_public_keys.hpp"
#include "tests/supervisor/model_fixture.hpp"

namespace cppworker {

class WorkerViewFixture : public ModelFixture {
 protected:
  WorkerViewFixture() {
    settings.master_token = "token-of-the-account";
    settings.public_url = "http://203.0.113.9:41234";
    setup.backend.log.phases = {{LoadPhase::kDownload, "Download"}};
    setup.backend.log.captures = {{"max_capacity", "max batch total tokens to (\\d+)"}};
    start();
    ProxyServiceSetup of_proxy;
    of_proxy.program = "/opt/bin/cppworker-proxy";
    of_proxy.on_notice = [](ProxyNotice) {};
    of_proxy.on_change = [] {};
    proxy.emplace(io, proxy_processes, *ledger, std::move(of_proxy));
    keys.emplace(
        io.get_executor(), [this] { return fetch_key(); }, "the test", folder / "key.pem", [] {});
    view.emplace(WorkerView{settings, setup.backend, *model, *proxy, *keys, nullptr, *ledger, reaper,
                            [this] { return worker_phase; }, [this] { return error; },
                            std::chrono::steady_clock::now()});
    pages = admin_pages(*view);
  }

  Awaitable<Result<std::string>> fetch_key() { co_return key; }
  void bring_key() {
    key = named_public_pem("first");
    asio::co_spawn(io, keys->run(), asio::detached);
    settle();
  }
  void bring_proxy() {
    proxy->service().post(ServiceEventKind::kWantUp);
    proxy->service().post(ServiceEventKind::kSeenReady);
    settle();
  }
  void bring_model() {
    print(kReadyLine);
    ASSERT_TRUE(reaches(ServicePhase::kReady));
    worker_phase = ModelPhase::kReady;
  }

  int status_of(const std::string& page) { return pages.at(page)().status; }
  nlohmann::json body_of(const std::string& page) { return nlohmann::json::parse(pages.at(page)().body); }

  Settings settings;
  FakeProcessRunner proxy_processes;
  std::unique_ptr<Ledger> ledger = Ledger::create(folder / "ledger", "test").value();
  OrphanReaper reaper{io, [](pid_t) { return true; }};
  Result<std::string> key = fail("cannot fetch the public key: no answer");
  ModelPhase worker_phase = ModelPhase::kLoading;
  std::string error;
  std::optional<ProxyService> proxy;
  std::optional<PublicKeyKeeper> keys;
  std::optional<WorkerView> view;
  AdminPages pages;
};

}  // namespace cppworker
