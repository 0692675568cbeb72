#include "supervisor/port_check.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace cppworker {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;

constexpr std::string_view kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4001 1 0 "
    "100\n"
    "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4002 1 0 "
    "100\n"
    "   2: 0A00000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4003 1 0 "
    "100\n"
    "   3: 0100007F:2328 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4004 1 0 "
    "100\n"
    "   4: 0100007F:2329 0100007F:D431 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n";

TEST(PortCheck, FindsListenersOnLoopbackAndOnAllAddresses) {
  EXPECT_EQ(listener_inode(kTable, 5001), 4001u);
  EXPECT_EQ(listener_inode(kTable, 80), 4002u);
  EXPECT_EQ(listener_inode(kTable, 8080), std::nullopt) << "on an address of the network alone";
  EXPECT_EQ(listener_inode(kTable, 9000), std::nullopt) << "a connection";
  EXPECT_EQ(listener_inode(kTable, 9001), std::nullopt) << "what the kernel keeps after one";
  EXPECT_EQ(listener_inode(kTable, 0x5001), std::nullopt);
  EXPECT_EQ(listener_inode("", 80), std::nullopt);
  EXPECT_EQ(listener_inode("   0: garbage\n", 80), std::nullopt);
}

TEST(PortCheck, TellsThoseOnOtherAddressesApart) {
  EXPECT_EQ(other_listener_inode(kTable, 8080), 4003u);
  EXPECT_EQ(other_listener_inode(kTable, 5001), std::nullopt);
  EXPECT_EQ(other_listener_inode(kTable, 80), std::nullopt);
}

// ComfyUI's WebSocket, for one, isn't where the wrapper before it listens.
TEST(PortCheck, LooksAtThePortsThatEndpointsHaveBesideTheServers) {
  boost::asio::io_context io;
  tcp::acceptor first(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  tcp::acceptor second(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  BackendDefinition backend;
  backend.server.port = first.local_endpoint().port();
  backend.endpoints.resize(2);
  backend.endpoints[1].server.emplace().port = second.local_endpoint().port();
  first.close();
  const auto taken = check_ports_are_free(backend);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message,
              HasSubstr("cannot use port " + std::to_string(second.local_endpoint().port())));
  second.close();
  EXPECT_TRUE(check_ports_are_free(backend));
}

TEST(PortCheck, ReadsTheTableOfIpv6) {
  auto line = [](const std::string& address) {
    return "   0: " + address +
           ":1389 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 "
           "00000000     0        0 77 1 0 100\n";
  };
  EXPECT_EQ(listener_inode(line("00000000000000000000000000000000"), 5001), 77u);
  EXPECT_EQ(listener_inode(line("00000000000000000000000001000000"), 5001), 77u);
  EXPECT_EQ(listener_inode(line("0000000000000000FFFF00000100007F"), 5001), 77u);
  EXPECT_EQ(listener_inode(line("000080FE000000000000000001000000"), 5001), std::nullopt);
}

TEST(PortCheck, NamesWhoHasThePort) {
  boost::asio::io_context io;
  tcp::acceptor acceptor(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  const std::uint16_t port = acceptor.local_endpoint().port();
  const auto taken = check_port_is_free(port);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("cannot use port " + std::to_string(port) + ": process " +
                                               std::to_string(::getpid()) + " ("));
  EXPECT_THAT(taken.error().message, HasSubstr("listens on it; end that one"));
  acceptor.close();
  EXPECT_TRUE(check_port_is_free(port));
}

}  // namespace
}  // namespace cppworker
