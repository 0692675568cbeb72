#include "supervisor/tcp_connections.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace cppworker {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class TcpConnectionsTest : public testing::TestWithParam<const char*> {
 protected:
  // The socket with that port of its own, of those that are asked for.
  static std::optional<TcpSocket> find(std::uint16_t local_port, bool listening) {
    const auto sockets = list_tcp_sockets();
    if (!sockets) return std::nullopt;
    const auto found = std::find_if(sockets->begin(), sockets->end(), [&](const TcpSocket& socket) {
      return socket.local_port == local_port && socket.listening == listening;
    });
    return found == sockets->end() ? std::nullopt : std::optional(*found);
  }

  asio::io_context io;
};

TEST_P(TcpConnectionsTest, TellsWhatHasComeInOverEach) {
  boost::system::error_code error;
  const tcp::endpoint any(asio::ip::make_address(GetParam()), 0);
  tcp::acceptor acceptor(io);
  acceptor.open(any.protocol());
  acceptor.bind(any, error);
  if (error) GTEST_SKIP() << "no such address on this machine";
  acceptor.listen();
  if (!list_tcp_sockets()) GTEST_SKIP() << "this kernel tells nothing";
  const auto listener = find(acceptor.local_endpoint().port(), true);
  ASSERT_TRUE(listener);

  tcp::socket client(io), server(io);
  client.connect(acceptor.local_endpoint());
  acceptor.accept(server);
  const std::uint16_t port = client.local_endpoint().port();
  const auto before = find(port, false);
  ASSERT_TRUE(before);
  EXPECT_TRUE(before->to_loopback);
  EXPECT_EQ(before->received_bytes, 0u);
  EXPECT_NE(before->id, listener->id);

  std::string bytes(100'000, 'x');
  asio::write(server, asio::buffer(bytes.data(), 50'000));
  asio::read(client, asio::buffer(bytes.data(), 50'000));
  const auto after = find(port, false);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->received_bytes, 50'000u);
  EXPECT_EQ(after->id, before->id);
  client.close();
  EXPECT_FALSE(find(port, false));
}

INSTANTIATE_TEST_SUITE_P(EachFamily, TcpConnectionsTest, testing::Values("127.0.0.1", "::1"));

}  // namespace
}  // namespace cppworker
