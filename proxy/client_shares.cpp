#include "proxy/client_shares.hpp"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>

namespace cppworker {
namespace {

// An IPv4 address, in whichever spelling, or the first half of an IPv6 one. IPv4 gets a number in 0:1::/32,
// which is nobody's.
std::uint64_t key_of(const boost::asio::ip::address& address) {
  if (address.is_v4()) return std::uint64_t{1} << 32 | address.to_v4().to_uint();
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return key_of(boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6));
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < sizeof key; ++i) key = key << 8 | v6.to_bytes()[i];
  return key;
}

}  // namespace

std::uint32_t ClientShares::Place::address_tag() const {
  if (shares_ == nullptr) return 0;
  // Fibonacci hashing: neighbours don't fall together, and a stranger has nothing to gain if some do.
  const std::uint64_t mixed = client_->first * 0x9e3779b97f4a7c15;
  return std::max<std::uint32_t>(static_cast<std::uint32_t>(mixed >> 32), 1);
}

std::optional<ClientShares::Place> ClientShares::enter(const boost::asio::ip::address& address) {
  if (!limits_) return enter_uncounted();
  const std::uint64_t key = key_of(address);
  std::lock_guard lock(mutex_);
  auto client = clients_.try_emplace(key, limits_->body_bytes, all_).first;
  if (client->second.connections >= limits_->connections) return std::nullopt;
  ++client->second.connections;
  return Place(this, client, client->second.bodies);
}

void ClientShares::leave(Table::iterator client) {
  std::lock_guard lock(mutex_);
  if (--client->second.connections == 0) clients_.erase(client);
}

std::size_t ClientShares::addresses() const {
  std::lock_guard lock(mutex_);
  return clients_.size();
}

std::size_t address_share(const ProxySettings& settings, std::size_t of_all) {
  if (settings.address_share_percent == 0) return of_all;
  return std::max<std::size_t>(of_all * static_cast<std::size_t>(settings.address_share_percent) / 100, 1);
}

std::optional<ClientShares::Limits> share_limits(const ProxySettings& settings, std::uint64_t largest_body) {
  if (settings.address_share_percent == 0) return std::nullopt;
  auto share = [&](std::int64_t of_all) { return address_share(settings, static_cast<std::size_t>(of_all)); };
  return ClientShares::Limits{
      .connections = static_cast<std::int64_t>(share(settings.max_connections)),
      .body_bytes = std::max<std::uint64_t>(share(settings.max_buffered_bytes), largest_body)};
}

}  // namespace cppworker
