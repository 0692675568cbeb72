// The autoscaler's side of the protocol, for tests and the demonstration: it signs routes, hands out its
// public key, takes reports, and fails when told to.
//
//   GET  /pubkey/                     the key, PEM
//   POST /route/                      {"endpoint", "cost"[, "covers": "full"|"url"][, "url"][, "reqnum"][,
//   "request_idx"]}
//                                     answers a signed route; 503 until a worker reported or when no url is
//                                     given
//   POST /worker_status/, /delete_requests/      recorded, answer {}
//   POST /sign_cert/                  a certificate request, PEM; answers a certificate of its own authority
//   POST /rotate_key                  makes another key; signs with that one from now on
//   GET  /reports, /deletes           what was recorded, a JSON array in the order of arrival
//   GET  /reports/wait?after=N, /deletes/wait?after=N      the same, once more than N are there; 30 s at most
//   POST /fail                        {"path", "times", "status"}: the next calls of that path fail so;
//   status 0
//                                     closes the connection without an answer
//
// One thread. What is recorded is bounded; the log file never holds an mtoken.
#pragma once

#include <fstream>
#include <map>
#include <string>
#include <nlohmann/json.hpp>

#include "tests/stand_ins/http_server.hpp"
#include "tests/stand_ins/route_signer.hpp"

namespace cppworker::stand_ins {

class Autoscaler : public Handler {
 public:
  // `log_file` may be empty: no log.
  Autoscaler(asio::io_context& io, const std::string& key_file, const std::string& log_file);

  Awaitable<> serve(Exchange& exchange) override;

 private:
  struct Failure {
    int times = 0, status = 500;
  };

  Awaitable<> answer(Exchange& exchange, int status, const nlohmann::ordered_json& body);
  Awaitable<> route(Exchange& exchange);
  Awaitable<> sign_certificate(Exchange& exchange);
  Awaitable<> record(Exchange& exchange, nlohmann::json& list);
  Awaitable<> list(Exchange& exchange, const nlohmann::json& list, bool wait);
  Awaitable<bool> fails(Exchange& exchange);
  void log(const std::string& path, nlohmann::json body);

  asio::io_context& io_;
  RouteSigner signer_;
  std::ofstream log_;
  nlohmann::json reports_ = nlohmann::json::array(), deletes_ = nlohmann::json::array();
  asio::steady_timer recorded_;  // cancelled whenever something is recorded
  std::map<std::string, Failure> failures_;
  std::string worker_url_;
  std::int64_t reqnum_ = 0, request_idx_ = 0;
};

}  // namespace cppworker::stand_ins
