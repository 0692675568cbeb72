// The stream alone, over a real connection; what is served over it: tls_test.cpp.
#include "proxy/tls_stream.hpp"

#include <malloc.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <thread>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_future.hpp>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

struct Moved {
  error_code error;
  std::size_t bytes = 0;
};

class TlsStreamTest : public testing::Test {
 protected:
  struct Pair {
    RawClient client;
    std::unique_ptr<tcp::socket> socket;
    std::unique_ptr<TlsStream> stream;
  };

  TlsStreamTest() : thread_([this] { io_.run(); }) {}
  ~TlsStreamTest() override {
    work_.reset();
    io_.stop();
    thread_.join();
  }

  // Past the handshake.
  Pair connect() {
    tcp::acceptor acceptor(io_, {asio::ip::address_v4::loopback(), 0});
    Pair pair{
        RawClient(acceptor.local_endpoint().port()), std::make_unique<tcp::socket>(acceptor.accept()), {}};
    pair.stream = std::make_unique<TlsStream>(*pair.socket, context_->native_handle());
    auto shaken = begin([&](auto token) { return pair.stream->async_handshake(token); });
    pair.client.start_tls();
    EXPECT_EQ(end(shaken).error, error_code());
    return pair;
  }

  // Begins an operation on the loop's thread.
  template <class Start>
  std::future<Moved> begin(Start start) {
    return asio::co_spawn(
        io_,
        [](Start start) -> Awaitable<Moved> {
          auto [error, bytes] = co_await start(kTuple);
          co_return Moved{error, bytes};
        }(start),
        asio::use_future);
  }
  std::future<Moved> begin_read(Pair& pair) {
    return begin([&](auto token) { return pair.stream->async_read_some(asio::buffer(read_), token); });
  }
  std::future<Moved> begin_write(Pair& pair, std::string_view text) {
    return begin([&pair, text](auto token) {
      return pair.stream->async_write_some(asio::buffer(text.data(), text.size()), token);
    });
  }
  // On the loop's thread, when all that is ready there is done.
  void on_the_loop(const std::function<void()>& work) {
    std::promise<void> done;
    asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }
  void cancel(Pair& pair) {
    on_the_loop([&] { pair.socket->cancel(); });
  }
  static Moved end(std::future<Moved>& begun) {
    if (begun.wait_for(kHangGuard) != std::future_status::ready) throw std::runtime_error("it doesn't end");
    return begun.get();
  }
  std::string_view got(const Moved& moved) const { return {read_.data(), moved.bytes}; }

  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{io_.get_executor()};
  std::thread thread_;
  TlsContext context_ = test_tls_context("worker");
  std::array<char, 1000> read_{};
};

TEST_F(TlsStreamTest, CarriesBytesBothWays) {
  Pair pair = connect();
  auto reading = begin_read(pair);
  pair.client.send("hello");
  EXPECT_EQ(got(end(reading)), "hello");
  auto writing = begin_write(pair, "answer");
  EXPECT_EQ(end(writing).bytes, 6u);
  EXPECT_EQ(pair.client.read_exactly(6), "answer");
}

TEST_F(TlsStreamTest, ReadsWhatIsHereAlready) {
  Pair pair = connect();
  pair.client.send(std::string(read_.size(), 'a') + "b");
  auto first = begin_read(pair);
  EXPECT_EQ(end(first).bytes, read_.size());
  EXPECT_TRUE(pair.stream->holds_bytes()) << "of the same record";
  auto second = begin_read(pair);
  EXPECT_EQ(got(end(second)), "b");
  EXPECT_FALSE(pair.stream->holds_bytes());
}

TEST_F(TlsStreamTest, WritesOnWhileAReadWaits) {
  Pair pair = connect();
  auto reading = begin_read(pair);
  const std::string large(8 << 20, 'x');
  auto writing = begin_write(pair, large);
  EXPECT_EQ(pair.client.read_exactly(large.size()), large);
  EXPECT_EQ(end(writing).bytes, large.size());
  pair.client.send("now");
  EXPECT_EQ(got(end(reading)), "now");
}

TEST_F(TlsStreamTest, ACancelledReadLosesNothing) {
  Pair pair = connect();
  for (const char* text : {"one", "two", "three"}) {
    auto cancelled = begin_read(pair);
    cancel(pair);
    EXPECT_EQ(end(cancelled).error, asio::error::operation_aborted);
    pair.client.send(text);
    auto reading = begin_read(pair);
    EXPECT_EQ(got(end(reading)), text);
  }
}

// OpenSSL would take the next bytes for the rest of those before.
TEST_F(TlsStreamTest, AfterACancelledWriteNothingIsWritten) {
  Pair pair = connect();
  const std::string large(64 << 20, 'x');
  auto stuck = begin_write(pair, large);
  cancel(pair);
  EXPECT_EQ(end(stuck).error, asio::error::operation_aborted);
  auto next = begin_write(pair, "y");
  EXPECT_EQ(end(next).error, asio::error::broken_pipe);
  auto notice = begin([&](auto token) { return pair.stream->async_shutdown(token); });
  EXPECT_EQ(end(notice).error, asio::error::broken_pipe) << "it isn't said to be whole";
}

TEST_F(TlsStreamTest, TellsAnEndFromABreak) {
  Pair ended = connect(), cut = connect(), reset = connect();
  ended.client.send_tls_notice();
  auto reading = begin_read(ended);
  EXPECT_EQ(end(reading).error, asio::error::eof);
  cut.client.shutdown_write();
  reading = begin_read(cut);
  EXPECT_EQ(end(reading).error, asio::ssl::error::stream_truncated);
  reset.client.reset();
  reading = begin_read(reset);
  EXPECT_EQ(end(reading).error, asio::error::connection_reset);
  auto writing = begin_write(reset, "to nobody, which must not end the process");
  EXPECT_NE(end(writing).error, error_code());
}

TEST_F(TlsStreamTest, ClientsMayRenewTheirKeys) {
  Pair pair = connect();
  pair.client.renew_tls_keys(TlsStream::kMostAsides);
  pair.client.send("hello");
  auto reading = begin_read(pair);
  EXPECT_EQ(got(end(reading)), "hello");
}

// One that does nothing else would keep a thread inside one read for as long as it sends, and 40 MB of it
// ended the proxy.
TEST_F(TlsStreamTest, AClientThatKeepsRenewingItsKeysIsNotReadOn) {
  Pair pair = connect();
  pair.client.renew_tls_keys(TlsStream::kMostAsides + 1);
  auto reading = begin_read(pair);
  const Moved renewed = end(reading);
  EXPECT_NE(renewed.error, error_code()) << got(renewed);
}

TEST_F(TlsStreamTest, NeitherIsOneThatDoesBetweenItsBytes) {
  Pair pair = connect();
  Moved moved;
  for (int i = 0; i < TlsStream::kMostAsides + 2 && !moved.error; ++i) {
    pair.client.renew_tls_keys(1);
    pair.client.send("x");
    auto reading = begin_read(pair);
    moved = end(reading);
  }
  EXPECT_NE(moved.error, error_code());
}

// Its number may be another connection's by then.
TEST_F(TlsStreamTest, DoesNotTouchASocketThatWasClosed) {
  Pair pair = connect(), other = connect();
  const int number = pair.socket->native_handle();
  on_the_loop([&] { pair.socket->close(); });
  const UniqueFd reused(::dup2(other.socket->native_handle(), number));
  ASSERT_EQ(reused.get(), number);
  auto writing = begin_write(pair, "not for you");
  EXPECT_NE(end(writing).error, error_code());
  auto notice = begin([&](auto token) { return pair.stream->async_shutdown(token); });
  end(notice);
  auto to_other = begin_write(other, "for you");
  EXPECT_EQ(end(to_other).bytes, 7u);
  EXPECT_EQ(other.client.read_exactly(7), "for you");
}

// 74 kB with Asio's stream.
TEST_F(TlsStreamTest, AnIdleOneHoldsLittle) {
  constexpr std::size_t kStreams = 50, kMostEach = 16 * 1024;
  std::vector<Pair> idle;
  for (std::size_t i = 0; i < kStreams; ++i) {
    idle.push_back(connect());
    auto reading = begin_read(idle.back());
    idle.back().client.send("request");
    EXPECT_EQ(got(end(reading)), "request");
    auto writing = begin_write(idle.back(), "answer");
    EXPECT_EQ(end(writing).bytes, 6u);
  }
  // Nothing where a sanitizer's allocator is in its place.
  const std::size_t before = ::mallinfo2().uordblks;
  for (Pair& pair : idle) pair.stream.reset();
  const std::size_t freed = before - ::mallinfo2().uordblks;
  EXPECT_LT(freed / kStreams, kMostEach);
  RecordProperty("bytes_each", static_cast<int>(freed / kStreams));
}

}  // namespace
}  // namespace cppworker
