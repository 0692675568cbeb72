// A model service without a model: the test plays its process and its HTTP side, and moves the clock.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "supervisor/model_service.hpp"
#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/fake_process_runner.hpp"
#include "tests/supervisor/http_stub.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {

class ModelFixture : public testing::Test {
 protected:
  ModelFixture() {
    std::filesystem::create_directories(folder / "logs");
    setup.backend.name = "tgi";
    setup.backend.launch_script = "/opt/launchers/tgi/launch.sh";
    setup.backend.log.ready = {"\"message\":\"Connected\""};
    setup.backend.log.fatal = {"^Error: "};
    setup.backend.log.info = {"\"message\":\"Download"};
    setup.backend.log.captures = {{"max_capacity", "max batch total tokens to (\\d+)"}};
    setup.backend.health.emplace();
    setup.backend.health->main.path = "/health";
    setup.server = server.url();
    setup.run_dir = folder.path();
    setup.on_change = [this] { ++changes; };
    setup.pulse = [this] { return pulse; };
  }

  // As at the worker's start: the service is made, watched, and wanted.
  void start() {
    auto made = ModelService::make(io, processes, setup);
    ASSERT_TRUE(made) << made.error().message;
    model = std::move(*made);
    model->watch();
    model->service().post(ServiceEventKind::kWantUp);
    settle();
  }
  void print(const std::string& line) {
    processes.print(line + "\n");
    settle();
  }
  void become_ready() {
    start();
    print(kReadyLine);
    ASSERT_TRUE(reaches(ServicePhase::kReady));
  }
  void settle() {
    io.restart();
    io.poll();
  }
  void skip(std::chrono::milliseconds duration) { clock.skip(io, duration); }
  ServicePhase phase() { return model->service().state().phase; }
  bool reaches(ServicePhase wanted) {
    return run_until(io, [&] { return phase() == wanted; });
  }
  // The watcher asks for health after that pause, and has dealt with the answer.
  bool asks_after(std::chrono::milliseconds pause) {
    const int before = server.served();
    skip(pause);
    const bool asked = run_until(io, [&] { return server.served() > before; });
    settle();
    return asked;
  }

  static constexpr const char* kReadyLine = R"({"level":"INFO","message":"Connected"})";

  MovableClock clock;
  TemporaryFolder folder;
  asio::io_context io;
  FakeProcessRunner processes;
  int health_status = 200, changes = 0;
  Pulse pulse;
  HttpStub::Handler on_post = [](const HttpStub::Request&) { return HttpStub::Answer{}; };
  HttpStub server{io, [this](const HttpStub::Request& request) {
                    if (request.method == "POST") return on_post(request);
                    return HttpStub::Answer{.status = health_status};
                  }};
  ModelServiceSetup setup;
  std::unique_ptr<ModelService> model;
};

}  // namespace cppworker
