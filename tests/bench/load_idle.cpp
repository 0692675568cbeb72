#include <sys/socket.h>

#include <cstdio>
#include <vector>

#include "tests/bench/load.hpp"
#include "tests/bench/sockets.hpp"

namespace cppworker::bench {
namespace {

void have_answered(const UniqueFd& socket, const std::string& request) {
  if (!write_all(socket, request)) give_up("a connection was closed");
  std::string received;
  char buffer[16 * 1024];
  while (true) {
    ssize_t count = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (count <= 0) give_up("a connection was closed");
    received.append(buffer, static_cast<std::size_t>(count));
    auto head = find_head(received);
    if (!head || received.size() < head->size + head->body_bytes) continue;
    if (head->status() != 200) give_up("the answer isn't 200: " + received);
    return;
  }
}

}  // namespace

int hold_connections(const IdleLoad& load) {
  std::string body = read_whole_file(load.body);
  std::string request = post_head(load.target, body.size()) + body;
  std::vector<UniqueFd> open;
  for (std::size_t i = 0; i < load.connections; ++i) {
    open.push_back(connect_to_loopback(load.port));
    have_answered(open.back(), request);
  }
  std::printf("{\"open\":%zu}\n", open.size());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

}  // namespace cppworker::bench
