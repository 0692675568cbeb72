#include "proxy/websocket_session.hpp"

#include <boost/asio/buffer.hpp>

#include "proxy/admit.hpp"
#include "proxy/answer.hpp"
#include "proxy/authentication.hpp"
#include "proxy/body_check.hpp"
#include "proxy/forwarding.hpp"
#include "proxy/holding.hpp"
#include "proxy/pricing.hpp"
#include "proxy/query_auth.hpp"
#include "proxy/websocket_client.hpp"
#include "proxy/websocket_handshake.hpp"
#include "proxy/websocket_upstream.hpp"

namespace cppworker {
namespace {

// One read from the inference server.
constexpr std::size_t kPiece = 32 * 1024;

constexpr int kSwitchingProtocols = 101;

// What a status is among WebSocket's close codes; the reason is the body that HTTP would have.
Goodbye say(const Refusal& refusal) {
  std::uint16_t code = kClosePolicy;
  if (refusal.status == 413) code = kCloseTooBig;
  if (refusal.status == 429 || refusal.status == 503) code = kCloseTryAgainLater;
  if (refusal.status == 500 || refusal.status == 502 || refusal.status == 504) code = kCloseInternalError;
  return {Goodbye::Kind::kSay, code, refusal.body};
}

class WebSocketSession {
 public:
  WebSocketSession(Connection& connection, ProxyThread& thread, Request& request)
      : connection_(connection),
        thread_(thread),
        request_(request),
        active_(connection.active()),
        client_(connection, thread),
        from_server_(request.endpoint->definition.failure_lines) {}
  ~WebSocketSession() {
    active_.set_upstream(nullptr);
    request_.answered.bytes += client_.sent();
  }

  Awaitable<bool> run() {
    auto upgrade = check_client_upgrade(connection_.head());
    if (!upgrade) co_return co_await refuse_handshake(upgrade.error());
    upgrade_ = *std::move(upgrade);
    auto query = take_query_auth(connection_.head().target());
    if (!query) {
      Refusal refusal;
      refusal.status = query.error().status;
      refusal.body = query.error().body;
      co_return co_await refuse_early(connection_, thread_, request_, refusal);
    }
    target_ = query->target;
    if (is_open() || query->given) co_return co_await run_known(query->envelope());
    co_return co_await run_unknown();
  }

 private:
  bool is_open() const { return request_.endpoint->definition.auth == EndpointDefinition::Auth::kNone; }

  Awaitable<bool> refuse_handshake(const UpgradeRefusal& refusal) {
    thread_.core.ledger.count(bad_request_counter(refusal.status));
    bool keep_alive = request_.keep_alive && !connection_.body_unread();
    const std::string response = upgrade_refusal_response(refusal, keep_alive, request_.id);
    bool written = co_await write_head(response, refusal.status);
    if (!keep_alive && written) co_await connection_.close_lingering();
    co_return keep_alive&& written;
  }

  Awaitable<bool> write_head(std::string_view head, int status) {
    active_.begin_write_phase(thread_.core.relay_limits.write);
    bool written = co_await connection_.write(head);
    active_.end_phase();
    Answered& answered = request_.answered;
    answered.status = status;
    answered.bytes += written ? head.size() : 0;
    if (answered.outcome.empty() && status >= 400) answered.outcome = "refused";
    if (!written) note_client_gone(request_);
    co_return written;
  }

  // ---- who asks is known before the 101

  Awaitable<bool> run_known(std::string envelope) {
    if (is_open()) {
      if (auto refusal = admit_unsigned(connection_.stream().get_executor(), thread_, request_))
        co_return co_await answer(connection_, thread_, request_, *refusal);
    } else {
      if (auto refusal =
              authenticate(take_apart(envelope, thread_.core.settings, request_.endpoint->max_json_depth),
                           connection_, thread_, request_))
        co_return co_await refuse_early(connection_, thread_, request_, *refusal);
      bool queued = false;
      if (auto refusal = admit(connection_.stream().get_executor(), thread_, request_, 0, queued))
        co_return co_await answer(connection_, thread_, request_, *refusal);
      if (queued) {
        connection_.watch_client();
        bool in = co_await await_turn(active_, thread_, request_);
        co_await connection_.stop_watching();
        if (!in) co_return co_await refuse_turn();
      }
    }
    request_.counted = Counted(thread_.core.answering);
    connection_.watch_client();
    co_await open_upstream(upgrade_.protocols);
    co_await connection_.stop_watching();
    if (!is_upstream_open()) co_return co_await refuse_upgrade();
    const std::string response = upgrade_response(upgrade_.accept, upstream_.protocol, request_.id);
    bool written = co_await write_head(response, kSwitchingProtocols);
    if (!written) active_.abort(AbortCause::kClientGone);
    co_return co_await attended(converse({}));
  }

  Awaitable<bool> refuse_turn() {
    const AbortCause cause = active_.cause();
    finish(cause == AbortCause::kTimedOut ? Outcome::kErrored : Outcome::kCancelled);
    if (cause == AbortCause::kClientGone) {
      note_client_gone(request_);
      co_return false;
    }
    co_return co_await answer(connection_, thread_, request_, explain_no_turn(request_, cause));
  }

  // The server doesn't want a WebSocket: nothing was answered yet, so its own answer goes on to the client.
  Awaitable<bool> refuse_upgrade() {
    finish(outcome());
    if (active_.cause() == AbortCause::kClientGone) {
      note_client_gone(request_);
      co_return false;
    }
    if (upstream_.end != UpgradeEnd::kRefused || active_.aborted())
      co_return co_await answer(connection_, thread_, request_, explain_upgrade());
    const auto status = upstream_.refusal.result_int();
    const bool bodiless = status == 204 || status == 304;
    std::optional<std::uint64_t> length;
    if (!bodiless) length = upstream_.refusal_body.size();
    std::string response =
        client_response_head(upstream_.refusal, bodiless ? Framing::kNone : Framing::kLength, length,
                             request_.keep_alive, request_.id);
    if (!bodiless) response += upstream_.refusal_body;
    bool written = co_await write_head(response, static_cast<int>(status));
    if (!request_.keep_alive && written) co_await close_after_answer(connection_, request_);
    co_return request_.keep_alive&& written;
  }

  // ---- who asks stands in the first message

  Awaitable<bool> run_unknown() {
    if (upgrade_.protocols.size() > 1) upgrade_.protocols.resize(1);
    const std::string response = upgrade_response(
        upgrade_.accept, upgrade_.protocols.empty() ? "" : upgrade_.protocols.front(), request_.id);
    bool written = co_await write_head(response, kSwitchingProtocols);
    if (!written) co_return false;
    FirstMessage first = co_await client_.read_first_message(request_.endpoint->max_body);
    request_.answered.outcome = "refused";
    if (first.end) co_return co_await part(*first.end);
    first_message_ = std::move(first.text);
    EnvelopeResult parsed =
        co_await check_body(thread_, connection_.client(), request_.endpoint->max_json_depth, first_message_);
    if (auto refusal = authenticate(std::move(parsed), connection_, thread_, request_)) {
      if (refusal->status / 100 == 4 && refusal->status != 401)
        thread_.core.ledger.count(bad_request_counter(refusal->status));
      const Goodbye end = say(*refusal);
      co_return co_await part(end);
    }
    if (is_priced_aside(request_)) co_await price_aside(thread_, request_);
    bool queued = false;
    if (auto refusal =
            admit(connection_.stream().get_executor(), thread_, request_, first_message_.size(), queued)) {
      const Goodbye end = say(*refusal);
      co_return co_await part(end);
    }
    request_.counted = Counted(thread_.core.answering);
    co_return co_await attended(serve_admitted(queued));
  }

  Awaitable<Goodbye> serve_admitted(bool queued) {
    if (queued) {
      bool in = co_await await_turn(active_, thread_, request_);
      if (!in) {
        const AbortCause cause = active_.cause();
        finish(cause == AbortCause::kTimedOut ? Outcome::kErrored : Outcome::kCancelled);
        if (cause == AbortCause::kTimedOut) co_return say(explain_no_turn(request_, cause));
        co_return goodbye();
      }
    }
    co_await open_upstream(upgrade_.protocols);
    if (!is_upstream_open()) {
      finish(outcome());
      co_return active_.aborted() ? goodbye() : say(explain_upgrade());
    }
    std::string frame = masked_websocket_frame(
        WebSocketOpcode::kText,
        {request_.envelope.payload_pieces.data(), request_.envelope.payload_pieces.size()});
    // A conversation may go on for hours; of the message, the frame alone is still needed.
    request_.envelope = {};
    first_message_ = {};
    first_message_.shrink_to_fit();
    Goodbye end = co_await converse(std::move(frame));
    co_return end;
  }

  // ---- the inference server

  Awaitable<> open_upstream(std::vector<std::string> protocols) {
    WebSocketTarget target{connection_.head(), request_.endpoint->server.value_or(thread_.pool.server()),
                           request_.id, target_, std::move(protocols)};
    Holding holding(thread_, active_, !is_open(), request_.newcomer);
    while (true) {
      bool there = co_await holding.server_is_there();
      server_away_ = !there && holding.unsent();
      if (!there) break;
      thread_.core.ledger.count(Counter::kUpstreamConnects);
      request_.entry.note_at_server(true);
      upstream_ = co_await upgrade_upstream(connection_.stream().get_executor(), target,
                                            thread_.core.relay_limits, active_);
      if (upstream_.end != UpgradeEnd::kUnreachable && upstream_.end != UpgradeEnd::kNoAnswer) break;
      request_.entry.note_at_server(false);
      bool again = !active_.aborted();
      if (again) again = co_await holding.send_again();
      if (!again) break;
    }
  }
  bool is_upstream_open() const { return upstream_.end == UpgradeEnd::kOpen && !active_.aborted(); }

  Refusal explain_upgrade() const {
    RelayResult result;
    result.end = active_.aborted()                           ? RelayEnd::kAborted
                 : server_away_                              ? RelayEnd::kAway
                 : upstream_.end == UpgradeEnd::kUnreachable ? RelayEnd::kUnreachable
                                                             : RelayEnd::kNoAnswer;
    if (upstream_.end == UpgradeEnd::kBadAnswer)
      return refuse(502, "inference server: its answer is no WebSocket's");
    if (upstream_.end == UpgradeEnd::kRefused) {
      int status = static_cast<int>(upstream_.refusal.result_int());
      return refuse(status == 429 || status == 503 ? status : 502,
                    "inference server: refused the WebSocket with status " + std::to_string(status));
    }
    return explain(result, active_.cause());
  }

  // Runs `work` with the client attended to.
  Awaitable<bool> attended(Awaitable<Goodbye> work) {
    // Made before there is anything to stop: memory that runs out must not leave it running.
    auto guarded = caught(std::move(work));
    auto stopping = client_.stop();
    client_.attend();
    Caught<Goodbye> end = co_await std::move(guarded);
    co_await std::move(stopping);
    if (end.thrown) std::rethrow_exception(end.thrown);
    co_return co_await part(*end.value);
  }

  // From the server's 101 to the end.
  Awaitable<Goodbye> converse(std::string first) {
    bool goes_on = co_await client_.hand_over(upstream_.connection->socket, std::move(first));
    if (goes_on) co_await pass_on();
    finish(outcome());
    co_return goodbye();
  }

  // What the server sends, to the client, until one of them ends it.
  Awaitable<> pass_on() {
    const auto piece = std::make_unique<char[]>(kPiece);
    while (true) {
      auto& early = upstream_.connection->buffer;  // what came behind the 101
      std::size_t size = asio::buffer_copy(asio::buffer(piece.get(), kPiece), early.cdata());
      early.consume(size);
      if (size == 0) {
        auto [error, read] =
            co_await upstream_.connection->socket.async_read_some(asio::buffer(piece.get(), kPiece), kTuple);
        if (error || active_.aborted()) co_return;
        size = read;
      }
      if (!first_byte_) first_byte_ = std::chrono::duration<double>(Clock::now() - begun_).count();
      const bool was_closed = from_server_.close_code().has_value();
      const std::uint64_t data_before = from_server_.data_bytes();
      from_server_.see({piece.get(), size});
      if (from_server_.close_code() && !was_closed) {
        server_closed_first_ = !client_.close_code();
        client_.begin_closing();
      }
      bool taken = co_await client_.send({piece.get(), size});
      if (!taken) co_return;
      const std::uint64_t data = from_server_.data_bytes() - data_before;
      if (data == 0) continue;
      client_.note_traffic(WebSocketClient::Side::kServer);
      if (!is_open()) thread_.core.ledger.count(Counter::kUpstreamBytes, data);
    }
  }

  // ---- the end

  Outcome outcome() const {
    const AbortCause cause = active_.cause();
    if (cause == AbortCause::kSessionEnded) return Outcome::kCancelled;
    if (from_server_.failure_found()) return Outcome::kErrored;
    if (server_closed_first_) {
      const auto code = from_server_.close_code();
      const bool well = code == kCloseNormal || code == kCloseGoingAway || code == kCloseNoCode;
      return well ? Outcome::kServed : Outcome::kErrored;
    }
    // A client that closes in order has what it wanted, as soon as it has anything.
    if (client_.close_code()) return from_server_.messages() > 0 ? Outcome::kServed : Outcome::kCancelled;
    const bool left = cause == AbortCause::kClientGone || cause == AbortCause::kClientSlow;
    return left ? Outcome::kCancelled : Outcome::kErrored;
  }

  // As far as it can be told: it broke off, closed for a failure of its own, or answered with one.
  bool failed_by_server() const {
    if (active_.aborted() || server_away_) return false;
    if (upstream_.end == UpgradeEnd::kRefused) {
      const auto status = upstream_.refusal.result_int();
      return status >= 500 && status != 501 && status != 503;
    }
    if (upstream_.end != UpgradeEnd::kOpen) return true;
    if (server_closed_first_) return from_server_.close_code() == kCloseInternalError;
    return !client_.close_code();
  }

  void finish(Outcome outcome) {
    request_.answered.outcome = name_of(outcome);
    request_.place.leave(outcome == Outcome::kServed && !is_open());
    request_.in_session = {};
    request_.entry.finish(outcome, first_byte_);
    if (!is_open() && failed_by_server()) thread_.core.ledger.count(Counter::kUpstreamFailures);
  }

  Goodbye goodbye() const {
    if (from_server_.close_code()) return {Goodbye::Kind::kSaid, 0, {}};
    if (auto code = client_.close_code()) return {Goodbye::Kind::kSay, *code, {}};
    switch (active_.cause()) {
      case AbortCause::kClientGone:
        return {};
      case AbortCause::kClientSlow:
      case AbortCause::kTimedOut:
        return {Goodbye::Kind::kSay, kCloseGoingAway, R"({"error":"proxy: out of time"})"};
      case AbortCause::kSessionEnded:
        return {Goodbye::Kind::kSay, kClosePolicy, R"({"error":"invalid session"})"};
      case AbortCause::kNone:
        break;
    }
    return {Goodbye::Kind::kSay, kCloseInternalError, R"({"error":"inference server: broke off"})"};
  }

  // A close frame can only stand between two others; where one is cut off, the connection is cut off, too.
  Awaitable<bool> part(const Goodbye& end) {
    if (end.kind == Goodbye::Kind::kGone) co_return false;
    request_.newcomer.stop_waiting();
    bool said = end.kind == Goodbye::Kind::kSaid && client_.intact();
    if (end.kind == Goodbye::Kind::kSay && from_server_.between_frames()) {
      client_.begin_closing();
      const std::string frame = websocket_close_frame(end.code, end.reason);
      said = co_await client_.send(frame);
      active_.end_phase();
    }
    if (said)
      co_await close_after_answer(connection_, request_);
    else
      connection_.close_broken();
    co_return false;
  }

  using Clock = std::chrono::steady_clock;

  Connection& connection_;
  ProxyThread& thread_;
  Request& request_;
  ActiveRequest& active_;
  ClientUpgrade upgrade_;
  std::string target_;         // without auth fields
  std::string first_message_;  // which request_.envelope looks into, until it is a frame for the server
  UpstreamUpgradeResult upstream_;
  bool server_away_ = false;  // it is being restarted, and was never asked
  WebSocketClient client_;
  FrameScanner from_server_;
  bool server_closed_first_ = false;
  const Clock::time_point begun_ = Clock::now();
  std::optional<double> first_byte_;
};

}  // namespace

Awaitable<bool> serve_websocket(Connection& connection, ProxyThread& thread, Request& request) {
  WebSocketSession session(connection, thread, request);
  bool another = co_await session.run();
  co_return another;
}

}  // namespace cppworker
