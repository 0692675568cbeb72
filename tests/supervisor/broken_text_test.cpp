// Text of others in the status pages: half a character made nlohmann::json throw, and the page never came.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "supervisor/status_pages.hpp"
#include "tests/supervisor/model_fixture.hpp"

namespace cppworker {
namespace {

using nlohmann::json;
using testing::EndsWith;

class BrokenTextTest : public ModelFixture {
 protected:
  BrokenTextTest() { start(); }

  json body_of(const std::string& page) { return json::parse(pages.at(page)().body); }

  static ProxyServiceSetup proxy_setup() {
    ProxyServiceSetup made;
    made.on_notice = [](ProxyNotice) {};
    made.on_change = [] {};
    return made;
  }

  Settings settings;
  std::string error;
  FakeProcessRunner proxy_processes;
  std::unique_ptr<Ledger> ledger = Ledger::create(folder / "ledger", "test").value();
  OrphanReaper reaper{io, [](pid_t) { return true; }};
  ProxyService proxy{io, proxy_processes, *ledger, proxy_setup()};
  PublicKeyKeeper keys{io.get_executor(), nullptr, "the test", folder / "key.pem", [] {}};
  // `model` is there: the base has started.
  std::optional<WorkerView> view;
  AdminPages pages;

  void show() {
    view.emplace(WorkerView{settings, setup.backend, *model, proxy, keys, nullptr, *ledger, reaper,
                            [] { return ModelPhase::kLoading; }, [this] { return error; },
                            std::chrono::steady_clock::now()});
    pages = admin_pages(*view);
  }
};

TEST_F(BrokenTextTest, IsCutBetweenCharactersInTheProgress) {
  show();
  std::string line = R"({"message":"Download )";
  while (line.size() < 400) line += "größe 模型 🚀";
  for (int i = 0; i < 4; ++i) {
    print(line.insert(line.size() - 1, "x"));
    line.insert(line.find("Download ") + 9, "y");
    EXPECT_THAT(body_of("/startupz")["progress"].get<std::string>(), EndsWith("…")) << i;
    EXPECT_NO_THROW(body_of("/status")) << i;
  }
}

TEST_F(BrokenTextTest, CostsAPageNoMoreThanItsBytes) {
  error = "cannot read /data/\xff: no such file";
  show();
  EXPECT_EQ(body_of("/status")["error"], "cannot read /data/\xef\xbf\xbd: no such file");
  settings.public_url = "http://\xe6/";
  EXPECT_NO_THROW(body_of("/status"));
}

}  // namespace
}  // namespace cppworker
