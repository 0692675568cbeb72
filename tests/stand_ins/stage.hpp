// What every personality of the stand-in server shares: its life from loading to the end, the requests it
// got, and the routes under /stand_in/ by which tests look and push.
//
//   GET  /stand_in/requests   {"requests", "working", "peak_concurrency", "held", "pid", "shards"}
//        ?path=/generate      only those for this path
//        &received=N, &finished=N      once at least so many of them have come, or have an outcome (10 s at
//        most) &held=N              once at least so many are held
//   POST /stand_in/release    lets the requests go on whose text begins with "hold", once there is one
//   POST /stand_in/health     body "bad": health answers fail from now on; any other body: well again
//   POST /stand_in/log        prints the body as a line on stdout
//   POST /stand_in/crash      body exit1, segv, kill, hang, or sticky: every POST fails from now on
//
// One thread. The order of a life: load() → phases → open() → serving → stop().
#pragma once

#include <sys/types.h>

#include <set>

#include "tests/stand_ins/http_server.hpp"
#include "tests/stand_ins/request_log.hpp"
#include "tests/stand_ins/settings.hpp"

namespace cppworker::stand_ins {

// stdout as the real servers use it: Python's print() into a pipe waits for a full buffer unless
// PYTHONUNBUFFERED is set.
void set_up_stdout(const Settings& settings);
void print_line(const std::string& line);
void print_error(const std::string& line);  // stderr, at once

class Stage : public Handler {
 public:
  Stage(asio::io_context& io, const Settings& settings, std::size_t largest_body);

  // The whole life; returns when the server was told to stop and is done.
  Awaitable<> live();

  Awaitable<> serve(Exchange& exchange) final;
  void done(const Exchange& exchange) final;

 protected:
  // From the first line to the ready line and the open port.
  virtual Awaitable<> start() = 0;
  virtual Awaitable<> handle(Exchange& exchange) = 0;
  // SIGTERM: false means that the real server has no handler, and dies at once.
  virtual bool handles_term() const = 0;
  virtual Awaitable<> stop() = 0;

  // Prints the fatal line, crashes or hangs where a knob says so for this phase.
  Awaitable<> phase(const std::string& name);
  // What comes before the load: bars of a download, for DOWNLOAD_MS.
  Awaitable<> download();
  // Waits for LOAD_MS and the gate.
  Awaitable<> load();
  Awaitable<> warm_up() { return sleep_for(settings_.warm_up); }
  // From the ready line to the open port.
  Awaitable<> bind_gap() { return sleep_for(settings_.bind_gap); }
  // Opens the port (once); a failure is what the personality makes of it.
  boost::system::error_code open();
  // True when the ready line is to be printed.
  bool gets_ready() const { return !fatal_; }
  void start_shards();
  Awaitable<> stop_shards();

  // Adds a WebSocket's message to the request's entry: "messages".
  void record_message(const Exchange& exchange, const std::string& text);

  // Until POST /stand_in/release; false when `limit` passed first, or when the client left (see outcome).
  Awaitable<bool> wait_for_release(Exchange& exchange, std::chrono::milliseconds limit);
  // The same, for servers that don't notice that a client leaves.
  Awaitable<> wait_for_release();
  void release();

  asio::io_context& io_;
  const Settings settings_;
  RequestLog log_;
  HttpServer server_;
  bool healthy_ = true, preparing_ = false;
  bool broken_ = false;  // its GPU has had an error that stays, and health knows nothing of it

 private:
  Awaitable<> control(Exchange& exchange);
  Awaitable<> hang();
  nlohmann::json state(const std::string& path) const;

  std::set<asio::steady_timer*> held_;
  asio::steady_timer changed_;  // cancelled when a request is received, held or finished
  std::map<const Exchange*, std::shared_ptr<RequestLog::Entry>> open_entries_;
  std::vector<pid_t> shards_;
  bool opened_ = false, fatal_ = false;
};

std::unique_ptr<Stage> make_tgi(asio::io_context& io, const Settings& settings);
std::unique_ptr<Stage> make_sdauto(asio::io_context& io, const Settings& settings);
std::unique_ptr<Stage> make_ooba(asio::io_context& io, const Settings& settings);
std::unique_ptr<Stage> make_ooba_openai(asio::io_context& io, const Settings& settings);

}  // namespace cppworker::stand_ins
