// What bench_load can do, one mode a file. Each prints one line of JSON on stdout, and on stderr why it
// stopped when something went wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cppworker::bench {

// POSTs bodies, one a line of a file, in their order over several connections. A body isn't sent before all
// those more than kSpread lines before it have been answered: a proxy with replay protection refuses what
// comes later than that.
struct RequestLoad {
  std::uint16_t port = 0;
  std::string target, bodies;
  std::size_t skip = 0;   // lines that an earlier run has used up
  std::size_t count = 0;  // lines to send
  std::size_t connections = 64;
};
inline constexpr std::size_t kSpread = 90;  // the replay window reaches 100 back
int send_requests(const RequestLoad& load);

// Opens streams at the same time, reads them to their ends, and says how late the events came.
struct StreamLoad {
  std::uint16_t port = 0;
  std::string target, body;  // the file of a body
  std::size_t streams = 100;
  std::size_t events = 0;  // that each stream should have
};
int read_streams(const StreamLoad& load);

// Opens connections, has one request answered on each, and keeps them open until stdin ends.
struct IdleLoad {
  std::uint16_t port = 0;
  std::string target, body;
  std::size_t connections = 1000;
};
int hold_connections(const IdleLoad& load);

// From exec to the first answer of the proxy, to a client that waits in the backlog already.
struct StartLoad {
  std::string program, settings;
  int runs = 10;
};
int time_starts(const StartLoad& load);

}  // namespace cppworker::bench
