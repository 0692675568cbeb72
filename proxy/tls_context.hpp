// What the public port speaks TLS with: versions, ciphers, and the certificate and key that the supervisor
// sent (worker_state.hpp). A context is never changed: a new certificate makes another one, and a connection
// keeps the one that it began with, so that a new certificate ends none.
//
// Threads: any.
#pragma once

#include <memory>
#include <string>
#include <boost/asio/ssl/context.hpp>

#include "common/async.hpp"
#include "common/result.hpp"

namespace cppworker {

using TlsContext = std::shared_ptr<asio::ssl::context>;

// `certificate`: PEM, the server's own first, then those of its chain. `private_key`: PEM without a
// passphrase. A pair that can't be read or doesn't fit together is an error, which quotes neither, and leaves
// nothing on the thread's queue of OpenSSL errors.
Result<TlsContext> make_tls_context(const std::string& certificate, const std::string& private_key);

}  // namespace cppworker
