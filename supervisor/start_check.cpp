#include "supervisor/start_check.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/public_key.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

// How the listener with that port is set; empty when the worker doesn't listen there.
std::string own_listener(const Settings& settings, std::uint16_t port) {
  if (port == settings.port) return "/port (WORKER_PORT), where clients come";
  if (port == settings.session_port) return "/session_port (WORKER_HTTP_PORT; else the one after /port)";
  if (port == settings.admin_port) return "/admin_port";
  return {};
}

}  // namespace

Result<void> check_server_ports(const Settings& settings, const BackendDefinition& backend) {
  BackendDefinition used = backend;
  if (settings.server_url) move_server(used, *parse_url(*settings.server_url));
  const std::string where =
      settings.server_url ? settings.origin + ": /server_url" : backend.folder + "/backend.json: /server/url";
  auto check = [&](std::uint16_t port, const std::string& what) -> Result<void> {
    const std::string taken = own_listener(settings, port);
    if (taken.empty()) return {};
    return fail(where + ": puts " + what + " on port " + std::to_string(port) + ", which is that of " +
                taken + "; give one of the two another port");
  };
  if (auto checked = check(used.server.port, "the inference server"); !checked) return checked;
  for (const EndpointDefinition& endpoint : used.endpoints)
    if (endpoint.server)
      if (auto checked = check(endpoint.server->port, "the server of " + endpoint.path); !checked)
        return checked;
  return {};
}

Result<void> check_reloaded_ports(const Settings& present, const BackendDefinition& present_backend,
                                  const Settings& read, const BackendDefinition& read_backend) {
  if (Result<void> checked = check_server_ports(read, read_backend); !checked) return checked;
  BackendDefinition applied = read_backend;
  applied.server = present_backend.server;
  return check_server_ports(present, applied);
}

Result<void> check_public_key_file(const Settings& settings) {
  const std::string& source = settings.public_key;
  if (source.empty() || parse_url(source)) return {};
  const std::string where = settings.origin + ": /public_key: ";
  // The text itself stays out of the message: a URL may hold a password.
  if (source.find("://") != std::string::npos) return fail(where + parse_url(source).error().message);
  errno = 0;
  const auto pem = read_file(source, kLongestKeyPem + 1);
  if (!pem)
    return fail(where + "cannot read " + source + ": " + std::strerror(errno) +
                "; it must be the autoscaler's public key, as a PEM file or a URL");
  if (auto parsed = parse_public_key(*pem); !parsed)
    return fail(where + source + ": " + parsed.error().message);
  return {};
}

}  // namespace cppworker
