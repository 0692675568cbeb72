// What one client address may take of what all share: connections, and memory for buffered bodies. Without
// it, one stranger who opens connections and says nothing, or uploads large bodies and is refused, keeps
// everybody else out.
//
// An address is an IPv4 address or an IPv6 /64, which is what one customer of a network has. Many clients may
// share one (NAT, a load balancer in front), so a share is large: half, unless the settings say otherwise.
//
// Counted once for each connection, at its begin and end; what a body charges in between is two atomic
// additions. The table has an entry for each address with an open connection: no more than connections.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <boost/asio/ip/address.hpp>

#include "common/proxy_settings.hpp"
#include "proxy/memory_budget.hpp"

namespace cppworker {

class ClientShares {
  struct Client {
    explicit Client(std::uint64_t body_bytes, MemoryBudget& all) : bodies(body_bytes, &all) {}
    std::int64_t connections = 0;  // guarded by mutex_
    MemoryBudget bodies;
  };
  using Table = std::map<std::uint64_t, Client>;

 public:
  // Of one address.
  struct Limits {
    std::int64_t connections = 0;
    std::uint64_t body_bytes = 0;
  };

  // One connection's place in its address's share; given back when it goes. Outlives all that is charged to
  // it, and not the shares.
  class Place {
   public:
    Place(Place&& other) noexcept
        : shares_(std::exchange(other.shares_, nullptr)), client_(other.client_), bodies_(other.bodies_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (shares_ != nullptr) shares_->leave(client_);
    }

    // What the connection's bodies are charged to: to the address's share, and to the budget of all.
    MemoryBudget& bodies() const { return *bodies_; }
    // Of the address, for who counts by it beyond the connection: the same in every proxy of this machine. 0:
    // not counted.
    std::uint32_t address_tag() const;
    // Tells the clients that have a connection apart; the same for all that aren't counted.
    const void* client() const { return bodies_; }

   private:
    friend class ClientShares;
    Place(ClientShares* shares, Table::iterator client, MemoryBudget& bodies)
        : shares_(shares), client_(client), bodies_(&bodies) {}

    ClientShares* shares_;  // nullptr: not counted
    Table::iterator client_;
    MemoryBudget* bodies_;
  };

  // Without limits nothing is counted. `all` is the budget of all bodies, and outlives this.
  ClientShares(MemoryBudget& all, const std::optional<Limits>& limits) : all_(all), limits_(limits) {}
  ClientShares(const ClientShares&) = delete;

  // nullopt: the address has as many connections as it may.
  std::optional<Place> enter(const boost::asio::ip::address& address);
  // For a connection that belongs to no client.
  Place enter_uncounted() { return {nullptr, clients_.end(), all_}; }

  // Addresses that have a connection.
  std::size_t addresses() const;

 private:
  void leave(Table::iterator client);

  MemoryBudget& all_;
  const std::optional<Limits> limits_;
  mutable std::mutex mutex_;
  Table clients_;
};

// Of so much, what one address may have, by the settings: one at least.
std::size_t address_share(const ProxySettings& settings, std::size_t of_all);

// By the settings; nullopt: they say that there are none. A share is never smaller than one body of
// `largest_body` bytes.
std::optional<ClientShares::Limits> share_limits(const ProxySettings& settings, std::uint64_t largest_body);

}  // namespace cppworker
