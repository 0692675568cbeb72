// stand_in_server: takes the place of an inference server in tests, over real sockets.
//
//   stand_in_server tgi|sdauto|ooba [the real program's arguments]
//
// or through a link named as the program that a launch script starts: text-generation-launcher (tgi), init.sh
// (sdauto), python3 (ooba's server.py and download-model.py, sdauto's launch.py). The knobs are the
// STAND_IN_… variables of settings.hpp, the routes for tests those of stage.hpp. Port 0 picks one and prints
// it on stderr.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "tests/stand_ins/stage.hpp"

namespace {

using namespace cppworker::stand_ins;

int download(const Settings& settings) {
  std::string name = settings.args.empty() ? "" : settings.args.front();
  print_line("Downloading the model to models/" + name);
  if (!settings.fatal_line.empty()) {
    print_error(settings.fatal_line);
    return 1;
  }
  for (char& c : name) c = c == '/' ? '_' : c;
  std::filesystem::create_directories("models/" + name);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Settings settings = read_settings(argc, argv);
    set_up_stdout(settings);
    if (settings.role == Role::kOobaDownload) return download(settings);
    cppworker::asio::io_context io(1);
    auto stage = settings.role == Role::kTgi      ? make_tgi(io, settings)
                 : settings.role == Role::kSdauto ? make_sdauto(io, settings)
                 : settings.openai                ? make_ooba_openai(io, settings)
                                                  : make_ooba(io, settings);
    cppworker::asio::co_spawn(io, stage->live(), end_on_bug);
    io.run();
    // Nothing left to do, and never told to stop: what is left is a server without a port (see ooba).
    for (;;) ::pause();
  } catch (const std::exception& error) {
    print_error(std::string("stand-in: ") + error.what());
    return 2;
  }
}
