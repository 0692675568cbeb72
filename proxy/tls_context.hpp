// The certificate and the key that the public port serves TLS with: loaded from two files, and loaded again
// when these have changed. A connection keeps the context that it began with, so that a new certificate ends
// none.
//
// Threads: current() from any; reload_if_changed() from one at a time.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <boost/asio/ssl/context.hpp>

#include "common/async.hpp"
#include "common/result.hpp"

namespace cppworker {

class ServerTls {
 public:
  // `certificate_file`: PEM, the server's own certificate first, then those of its chain. `key_file`: PEM,
  // not encrypted.
  static Result<std::unique_ptr<ServerTls>> load(std::string certificate_file, std::string key_file);
  ~ServerTls();

  // For one new connection, which holds it as long as its stream. Never null.
  std::shared_ptr<asio::ssl::context> current() const;

  // Looks at the files: two stat calls while nothing has changed. True: current() is a new context. A pair
  // that can't be read or doesn't fit together is an error, and the context loaded before stays; as a pair
  // may be caught half-written, the next look tries again. The caller logs an error when it's another one
  // than the look before gave.
  Result<bool> reload_if_changed();

 private:
  struct Seen;

  ServerTls(std::string certificate_file, std::string key_file);
  Result<bool> load_pair();

  const std::string certificate_file_, key_file_;
  std::unique_ptr<Seen> seen_;  // what the context was made from
  mutable std::mutex mutex_;
  std::shared_ptr<asio::ssl::context> context_;
};

}  // namespace cppworker
