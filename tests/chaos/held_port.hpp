// A port of loopback that stays ours while nobody listens at it: bound, so that no other program, nor an
// outgoing connection, is given it meanwhile. Who listens there must set SO_REUSEADDR.
#pragma once

#include <cstdint>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace cppworker::chaos {

class HeldPort {
 public:
  HeldPort() {
    socket_.set_option(boost::asio::ip::tcp::socket::reuse_address(true));
    socket_.bind({boost::asio::ip::address_v4::loopback(), 0});
  }
  operator std::uint16_t() const { return socket_.local_endpoint().port(); }

 private:
  boost::asio::io_context io_;  // never runs: nothing is done with the socket
  boost::asio::ip::tcp::socket socket_{io_, boost::asio::ip::tcp::v4()};
};

}  // namespace cppworker::chaos
