// stand_in_autoscaler: the autoscaler of autoscaler.hpp as a program. Prints "listening on 127.0.0.1:PORT"
// once it serves; ends with exit 0 on SIGTERM or SIGINT.

#include <cstdio>
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "tests/stand_ins/autoscaler.hpp"

namespace {

constexpr std::size_t kLargestBody = 1 << 20;  // reports list request numbers: kilobytes

}  // namespace

int main(int argc, char** argv) {
  using namespace cppworker;
  std::uint16_t port = 0;
  std::string key_file, log_file;
  CLI::App app("An autoscaler for tests and demonstrations, on 127.0.0.1");
  app.add_option("--port", port, "Port to listen on; 0 picks a free one");
  app.add_option("--key", key_file, "PEM file of the RSA key; without it one is made");
  app.add_option("--log", log_file, "File that gets a JSON line for each report");
  CLI11_PARSE(app, argc, argv);
  try {
    asio::io_context io(1);
    stand_ins::Autoscaler autoscaler(io, key_file, log_file);
    stand_ins::HttpServer server(io, autoscaler, kLargestBody);
    asio::signal_set signals(io, SIGTERM, SIGINT);
    signals.async_wait([](auto ec, int) { ec ? void() : std::_Exit(0); });
    if (const auto ec = server.open("127.0.0.1", port))
      throw std::runtime_error("cannot listen: " + ec.message());
    std::printf("listening on 127.0.0.1:%u\n", server.port());
    std::fflush(stdout);
    io.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stand_in_autoscaler: %s\n", error.what());
    return 1;
  }
}
