#include "supervisor/cli_socket.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "supervisor/admin_server.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

class CliSocketTest : public testing::Test {
 protected:
  CliAcceptor open() {
    auto opened = open_cli_socket(io, folder.path());
    if (!opened) throw std::runtime_error(opened.error().message);
    return std::move(*opened);
  }

  const TemporaryFolder folder;
  asio::io_context io;
};

TEST_F(CliSocketTest, IsForItsOwnUserAlone) {
  const CliAcceptor acceptor = open();
  struct stat about {};
  ASSERT_EQ(::stat(cli_socket_path(folder.path()).c_str(), &about), 0);
  EXPECT_TRUE(S_ISSOCK(about.st_mode));
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST_F(CliSocketTest, TakesThePlaceOfADeadWorkersSocket) {
  { const CliAcceptor killed = open(); }
  ASSERT_TRUE(std::filesystem::exists(cli_socket_path(folder.path()))) << "as a kill leaves it";
  EXPECT_NO_THROW(open());
}

TEST_F(CliSocketTest, RefusesAPathThatASocketCannotHave) {
  const auto opened = open_cli_socket(io, folder.path() + "/" + std::string(100, 'x'));
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("choose a shorter --run-dir"));
}

TEST_F(CliSocketTest, AnswersAsTheAdminPortDoes) {
  CliAcceptor acceptor = open();
  AdminPages pages = {{"/why", [] { return AdminAnswer{200, "application/json", "{\"ready\":true}"}; }}};
  asio::co_spawn(io, run_admin_server(acceptor, pages), asio::detached);
  asio::local::stream_protocol::socket client(io);
  client.connect(*cli_endpoint(folder.path()));
  asio::write(client, asio::buffer(std::string_view("GET /why HTTP/1.1\r\nHost: x\r\n\r\n")));
  std::string heard;
  bool over = false;
  asio::async_read(client, asio::dynamic_buffer(heard),
                   [&](boost::system::error_code, std::size_t) { over = true; });
  ASSERT_TRUE(run_until(io, [&] { return over; }));
  EXPECT_THAT(heard, HasSubstr("200 OK"));
  EXPECT_THAT(heard, HasSubstr("{\"ready\":true}"));
}

}  // namespace
}  // namespace cppworker
