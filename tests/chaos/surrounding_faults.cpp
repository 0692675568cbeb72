// Faults of what is around the worker: the disk, the autoscaler, the certificate.
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "common/text.hpp"
#include "fault_kinds.hpp"
#include "tests/common/test_certificates.hpp"
#include "tls_exchange.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

// Enough for the worker's log of their lines to be written many times over.
constexpr int kServedOnFullDisk = 20;
// Quickly filled.
constexpr char kSmallDisk[] = "size=16k";
// Tries of a report that fail, of three. A whole one is lost where connections are refused.
constexpr int kFailingTries = 1;
// Calls that a silent autoscaler has got when one of the first, a report's and a deletion's, was given up
// and tried again: after ten seconds.
constexpr int kGivenUp = 3;

bool logs_line(World& world, const std::string& folder, const std::string& line) {
  testing::post(world.worker.server_port(), "/stand_in/log", line);
  return read_file(folder + "/model.log", 16 << 20).value_or("").find(line) != std::string::npos;
}

// To its last byte.
void fill(const std::string& folder) {
  std::ofstream filler(folder + "/filler", std::ios::binary);
  const std::string page(4096, 'x');
  while (filler << page << std::flush) {
  }
}

// The log is opened by its name again, on the full disk; what it is given is lost, and requests are served.
Verdict log_to_full_disk(World& world, const std::string& folder) {
  world.worker.process().signal(SIGUSR2);
  const std::string lost = "a line for a full disk";
  if (!eventually([&] {
        testing::post(world.worker.server_port(), "/stand_in/log", lost);
        return std::filesystem::exists(folder + "/model.log");
      }))
    return failed("the log was never opened on the full disk");
  for (int i = 0; i < kServedOnFullDisk; ++i)
    if (!eventually([&] { return well(world); })) return failed("not ready with a full disk");
  if (logs_line(world, folder, lost)) return failed("the disk wasn't full: this proves nothing");
  return {Verdict::kRecovered, "served all along, the log went on afterwards"};
}

Verdict reports_go_on(World& world, std::size_t heard) {
  if (!eventually([&] { return world.autoscaler.reports().size() > heard + 1; }))
    return failed("no report came any more");
  return {Verdict::kRecovered, "reports go on"};
}

Verdict fail_autoscaler(World& world, int status) {
  const std::size_t heard = world.autoscaler.reports().size();
  world.autoscaler.fail("/worker_status/", kFailingTries, status);
  world.autoscaler.fail("/delete_requests/", kFailingTries, status);
  return reports_go_on(world, heard);
}

}  // namespace

// A small disk is mounted over the log folder, filled, and taken away again.
Verdict fill_disk(World& world) {
  if (::geteuid() != 0) return {Verdict::kSkipped, "only root may mount a disk that can be filled"};
  const std::string folder = world.worker.folder() + "/run/logs";
  if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, kSmallDisk) != 0)
    return {Verdict::kSkipped, "no disk can be mounted here"};
  fill(folder);
  Verdict verdict = log_to_full_disk(world, folder);
  ::umount2(folder.c_str(), MNT_DETACH);
  world.worker.process().signal(SIGUSR2);
  if (!eventually([&] { return logs_line(world, folder, "a line after the full disk"); }))
    return failed("the log isn't written again");
  return verdict;
}

Verdict autoscaler_answers_500(World& world) {
  return fail_autoscaler(world, 500);
}

Verdict autoscaler_hangs_up(World& world) {
  return fail_autoscaler(world, 0);
}

Verdict autoscaler_falls_silent(World& world) {
  const std::size_t heard = world.autoscaler.reports().size();
  world.line.fall_silent();
  const bool given_up = eventually([&] { return world.line.unanswered() >= kGivenUp; });
  world.line.mend();
  return given_up ? reports_go_on(world, heard) : failed("the worker waits for an answer for ever");
}

Verdict autoscaler_refuses(World& world) {
  const std::size_t heard = world.autoscaler.reports().size();
  world.line.refuse();
  const bool seen = eventually([&] {
    const json status = world.status();
    return !status.is_null() && !status["reports"]["last_error"].get<std::string>().empty();
  });
  world.line.mend();
  return seen ? reports_go_on(world, heard) : failed("the worker doesn't say that it can't report");
}

Verdict rotate_certificate(World& world) {
  static int number = 0;
  const std::string name = "rotated-" + std::to_string(++number);
  const TestKey key = make_ec_key();
  std::ofstream(world.worker.folder() + "/instance.key") << private_pem(key.get());
  std::ofstream(world.worker.folder() + "/instance.crt") << self_signed(key, {.name = name});
  if (!eventually([&] { return certificate_shown(world.port()) == name; }))
    return failed("the new certificate isn't shown");
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered, "the new one is shown"};
}

// Signatures of the new key are refused until the worker has asked for it.
Verdict rotate_key(World& world) {
  testing::post(world.autoscaler.port(), "/rotate_key", "");
  if (!eventually([&] { return well(world); })) return failed("the new key's signatures are still refused");
  return {Verdict::kRecovered, "the new key was fetched"};
}

}  // namespace cppworker::chaos
