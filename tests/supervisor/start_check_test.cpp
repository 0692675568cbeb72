#include "supervisor/start_check.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/common/test_public_keys.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string refusal_of(const Result<void>& checked) {
  return checked ? "(taken)" : checked.error().message;
}

class ServerPorts : public testing::Test {
 protected:
  ServerPorts() {
    settings.port = 3000;
    settings.session_port = 3001;
    settings.admin_port = 3002;
    backend.folder = "/launchers/own";
    backend.server = *parse_url("http://127.0.0.1:5001");
  }
  std::string refusal() { return refusal_of(check_server_ports(settings, backend)); }

  Settings settings;
  BackendDefinition backend;
};

TEST_F(ServerPorts, MayBeAnyThatTheWorkerDoesNotListenOn) {
  EXPECT_EQ(refusal(), "(taken)");
  settings.port = 0;  // a free one is picked
  settings.session_port = 0;
  settings.admin_port = 0;
  EXPECT_EQ(refusal(), "(taken)");
}

TEST_F(ServerPorts, AreRefusedWhereTheWorkerItselfListens) {
  settings.port = 5001;
  EXPECT_THAT(refusal(), AllOf(StartsWith("/launchers/own/backend.json: /server/url: "),
                               HasSubstr("port 5001, which is that of /port (WORKER_PORT)")));
  settings.port = 3000;
  settings.session_port = 5001;
  EXPECT_THAT(refusal(), HasSubstr("/session_port (WORKER_HTTP_PORT"));
  settings.session_port = 3001;
  settings.admin_port = 5001;
  EXPECT_THAT(refusal(), HasSubstr("that of /admin_port;"));
}

TEST_F(ServerPorts, AreThoseThatTheSettingsMoveThemTo) {
  settings.port = 5001;
  settings.server_url = "http://127.0.0.1:6001";
  EXPECT_EQ(refusal(), "(taken)");
  settings.server_url = "http://127.0.0.1:3002";
  EXPECT_THAT(refusal(), StartsWith("settings: /server_url: puts the inference server on port 3002"));
}

TEST_F(ServerPorts, AreAlsoThoseBesideTheServers) {
  EndpointDefinition stream;
  stream.path = "/stream";
  stream.server = *parse_url("http://127.0.0.1:5002");
  backend.endpoints.push_back(stream);
  settings.port = 5002;
  EXPECT_THAT(refusal(), HasSubstr("puts the server of /stream on port 5002"));
  settings.port = 3001;
  settings.session_port = 3003;
  settings.server_url = "http://127.0.0.1:3000";
  EXPECT_THAT(refusal(), HasSubstr("puts the server of /stream on port 3001"));
}

// An endpoint's server comes with a reload: on the worker's own port the proxy would forward to itself.
TEST_F(ServerPorts, AreAskedAgainByAReload) {
  const auto reload = [&](const Settings& read, const BackendDefinition& read_backend) {
    return refusal_of(check_reloaded_ports(settings, backend, read, read_backend));
  };
  EndpointDefinition stream;
  stream.path = "/stream";
  stream.server = *parse_url("http://127.0.0.1:3000");
  BackendDefinition changed = backend;
  changed.endpoints.push_back(stream);
  EXPECT_EQ(reload(settings, backend), "(taken)");
  EXPECT_THAT(reload(settings, changed), HasSubstr("puts the server of /stream on port 3000"));
  Settings moved = settings;
  moved.port = 4000;
  EXPECT_THAT(reload(moved, changed), HasSubstr("/port (WORKER_PORT)")) << "3000 is ours until the restart";
  moved.port = 5001;
  EXPECT_THAT(reload(moved, backend), HasSubstr("port 5001")) << "the next start would be refused";
  // Both are for the restart, and go together.
  changed = backend;
  changed.server = *parse_url("http://127.0.0.1:3000");
  moved.port = 4000;
  EXPECT_EQ(reload(moved, changed), "(taken)");
}

class KeyFileAtStart : public testing::Test {
 protected:
  std::string refusal() { return refusal_of(check_public_key_file(settings)); }

  TemporaryFolder folder;
  Settings settings;
};

TEST_F(KeyFileAtStart, IsTakenWithAKeyInIt) {
  EXPECT_EQ(refusal(), "(taken)") << "none is named";
  settings.public_key = folder / "key.pem";
  std::ofstream(settings.public_key) << named_public_pem("autoscaler");
  EXPECT_EQ(refusal(), "(taken)");
}

TEST_F(KeyFileAtStart, IsRefusedWithoutAUsableKey) {
  settings.public_key = folder / "key.pem";
  EXPECT_EQ(refusal(), "settings: /public_key: cannot read " + settings.public_key +
                           ": No such file or directory; it must be the autoscaler's public key, as a PEM "
                           "file or a URL");
  std::ofstream(settings.public_key) << "no key";
  EXPECT_THAT(refusal(), AllOf(StartsWith("settings: /public_key: " + settings.public_key + ": "),
                               HasSubstr("cannot use the public key")));
  settings.public_key = folder.path();
  EXPECT_THAT(refusal(), HasSubstr("cannot read " + folder.path()));
}

TEST_F(KeyFileAtStart, IsNotLookedForBehindAUrl) {
  settings.public_key = "http://127.0.0.1:1/pubkey/";
  EXPECT_EQ(refusal(), "(taken)");
  settings.public_key = "https://somebody:hunter2@autoscaler/pubkey/";
  EXPECT_THAT(refusal(), AllOf(StartsWith("settings: /public_key: a URL "), Not(HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace cppworker
