// bench_load: the clients of the measurement that wrk can't play. `bench_load --help` lists them, load.hpp
// says what each does.
#include "tests/bench/load.hpp"

#include <CLI/CLI.hpp>

using namespace cppworker::bench;

int main(int argc, char** argv) {
  CLI::App cli("bench_load: clients of the proxy's measurement");
  cli.require_subcommand(1);

  RequestLoad requests;
  CLI::App* sends = cli.add_subcommand("requests", "Send bodies in their order");
  sends->add_option("--port", requests.port)->required();
  sends->add_option("--target", requests.target)->required();
  sends->add_option("--bodies", requests.bodies, "A body a line")->required();
  sends->add_option("--skip", requests.skip, "Lines to pass over");
  sends->add_option("--count", requests.count, "Lines to send")->required();
  sends->add_option("--connections", requests.connections);

  StreamLoad streams;
  CLI::App* reads = cli.add_subcommand("streams", "Read streams, and tell how late the events came");
  reads->add_option("--port", streams.port)->required();
  reads->add_option("--target", streams.target)->required();
  reads->add_option("--body", streams.body)->required();
  reads->add_option("--streams", streams.streams);
  reads->add_option("--events", streams.events, "That each stream should have")->required();

  IdleLoad idle;
  CLI::App* holds = cli.add_subcommand("idle", "Hold idle connections until stdin ends");
  holds->add_option("--port", idle.port)->required();
  holds->add_option("--target", idle.target)->required();
  holds->add_option("--body", idle.body)->required();
  holds->add_option("--connections", idle.connections);

  StartLoad start;
  CLI::App* starts = cli.add_subcommand("start", "Start the proxy, and time its first answer");
  starts->add_option("--program", start.program)->required();
  starts->add_option("--settings", start.settings, "The proxy.json of a run directory")->required();
  starts->add_option("--runs", start.runs);

  CLI11_PARSE(cli, argc, argv);
  if (*sends) return send_requests(requests);
  if (*reads) return read_streams(streams);
  if (*holds) return hold_connections(idle);
  return time_starts(start);
}
