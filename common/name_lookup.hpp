// Host names to addresses, without holding anybody up.
//
// Asio looks names up one after the other on a thread that it joins at its end, and can't give a look-up up:
// behind a name server that is silent, a health check of 127.0.0.1 would wait for the autoscaler's name. So
// addresses are taken as they are, and each name is looked up on a thread that nobody waits for.
//
// Threads: awaited on any loop; the name service is asked on the thread made for it, which holds nothing of
// the asker's and may outlive it.
#pragma once

#include <functional>
#include <string>
#include <vector>
#include <boost/asio/ip/address.hpp>

#include "common/async.hpp"
#include "common/result.hpp"

namespace cppworker {

using Addresses = std::vector<asio::ip::address>;

// Answers for a name, blocking for as long as that takes; called on a thread of its own.
using NameService = std::function<Result<Addresses>(const std::string& host)>;

// The system's: files, name servers (getaddrinfo).
Result<Addresses> system_names(const std::string& host);

// Look-ups under way at once; beyond that they fail at once: the name server is silent, and each one holds a
// thread until it gives up. The supervisor has four askers (reports, finished requests, key, certificate),
// each with one question now and one from before that it has given up.
inline constexpr int kMostLookups = 8;

// At least one address; `localhost` is 127.0.0.1, then ::1. Cancelling the coroutine ends the wait at once;
// the look-up goes on unheard.
Awaitable<Result<Addresses>> look_up(std::string host, NameService names = system_names);

}  // namespace cppworker
