#include "common/name_lookup.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/readable_pipe.hpp>

#include "common/quiet_thread.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

std::atomic<int> lookups_under_way{0};

// Shared by the asking coroutine and the thread: the last one frees it.
struct Lookup {
  std::string host;
  NameService names;
  std::optional<Result<Addresses>> answer;
  std::atomic<bool> answered = false;
  UniqueFd bell;  // a pipe's writing end, closed when the answer is here
};

void run(Lookup& lookup) {
  lookup.answer = lookup.names(lookup.host);
  lookup.answered = true;
  // Before the bell: whoever it wakes finds the place free.
  --lookups_under_way;
  lookup.bell.reset();
}

bool start_thread(const std::shared_ptr<Lookup>& lookup) {
  try {
    start_quiet_thread([lookup] { run(*lookup); }).detach();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

// Of what needs no asking; else empty.
Addresses known_addresses(const std::string& host) {
  // The IPv4 one first: that is where inference servers listen.
  if (host == "localhost") return {asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
  boost::system::error_code no_address;
  auto address = asio::ip::make_address(host, no_address);
  if (no_address) return {};
  return {address};
}

}  // namespace

Result<Addresses> system_names(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;  // each address once, not once per type of socket
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error != 0)
    return fail("cannot look up " + host + ": " +
                (error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error)));
  Addresses found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
    found.push_back(endpoint.address());
  }
  ::freeaddrinfo(list);
  return found;
}

Awaitable<Result<Addresses>> look_up(std::string host, NameService names) {
  Addresses known = known_addresses(host);
  if (!known.empty()) co_return known;

  const std::string failed = "cannot look up " + host;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) co_return wrap(failed, fail(std::strerror(errno)));
  asio::readable_pipe bell(co_await asio::this_coro::executor, ends[0]);
  auto lookup = std::make_shared<Lookup>();
  lookup->bell.reset(ends[1]);
  lookup->host = std::move(host);
  lookup->names = std::move(names);
  if (++lookups_under_way > kMostLookups) {
    --lookups_under_way;
    co_return wrap(failed, fail("the name server doesn't answer earlier questions"));
  }
  if (!start_thread(lookup)) {
    --lookups_under_way;
    co_return wrap(failed, fail("no thread can be started for it"));
  }
  char byte;
  co_await bell.async_read_some(asio::buffer(&byte, 1), kTuple);
  if (!lookup->answered) co_return wrap(failed, fail("given up"));
  Result<Addresses> found = std::move(*lookup->answer);
  if (found && found->empty()) co_return wrap(failed, fail("it has no address"));
  co_return found;
}

}  // namespace cppworker
