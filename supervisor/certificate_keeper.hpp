// The certificate that the public port serves TLS with: sees to it that a usable pair of certificate and key
// lies at the configured paths. A pair that is usable is used as it is. Else a key is made and the signing
// service asked for its certificate, with retries, and both are put there.
//
// Whose pair it is decides what may be done to it, as other programs of the instance, or its owner, may have
// put it there. Ours is a key whose fingerprint stands in `own_key_mark`, a file of the run directory; a pair
// that replaces ours therefore is somebody else's without anyone's saying so.
// - Ours is renewed in time, with the same key: only the certificate's file changes, so that no moment shows
//   a pair that doesn't fit together.
// - Somebody else's is never renewed. Where it isn't usable (half missing, broken, not fitting, expired) it
//   is replaced, after a second look that leaves whoever is writing it the time to finish; its key is kept
//   beside ours as `<key>.replaced`.
// Nothing is written before the whole new pair is at hand.
//
// The last pair that was of use stays in use while the files hold none: a half-written one, or one that has
// expired, which clients that don't check it can still talk to.
//
// Threads: the supervisor's loop, which making a key holds up for a few 100 ms, once in an instance's life.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>

#include "common/async.hpp"
#include "common/result.hpp"
#include "common/url.hpp"

namespace cppworker {

struct CertificatePaths {
  std::string certificate = "/etc/instance.crt";
  std::string key = "/etc/instance.key";
  std::string own_key_mark;  // in the run directory
};

// Time, so that tests bring their own.
struct CertificateClock {
  std::function<std::time_t()> now;
  // May end early: one of the files has changed.
  std::function<Awaitable<>(std::chrono::seconds)> sleep;
};
// Looks at the files' dates every kLookAtDates.
CertificateClock system_certificate_clock(const CertificatePaths& paths);
inline constexpr std::chrono::seconds kLookAtDates{5};

class CertificateKeeper {
 public:
  // Between two tries while there is no certificate, doubled up to the most. It never gives up: without one
  // nobody can be served.
  static constexpr std::chrono::seconds kFirstRetry{1}, kLongestRetry{60};
  // Longer than any program takes to write two small files.
  static constexpr std::chrono::seconds kSecondLook{10};
  // Between two looks without a change, for what comes with time; also between two tries to renew, which are
  // in no hurry.
  static constexpr std::chrono::hours kLookAgain{1};
  // Time for somebody to notice when the signing service refuses, over two weekends. A certificate made for
  // less than three times this is renewed in the last third of its life.
  static constexpr std::chrono::hours kRenewBefore{14 * 24};

  // Takes a certificate request in PEM, gives the certificate in PEM, or what stands in its place.
  using Sign = std::function<Awaitable<Result<std::string>>(std::string)>;

  // Without `sign` no certificate is ever asked for. `on_change` is called when certificate() has changed.
  CertificateKeeper(CertificatePaths paths, Sign sign, std::function<void()> on_change,
                    CertificateClock clock);

  // For who can't wait for a certificate: takes the pair that is there, or says why it is of no use. Before
  // run().
  Result<void> take_what_is_there();

  // Looks, asks, retries, renews. Ends with the io_context.
  Awaitable<> run();

  // The pair in use, PEM; empty as long as there was none.
  const std::string& certificate() const { return certificate_; }
  const std::string& private_key() const { return private_key_; }
  // The files hold a usable pair.
  bool ready() const { return ready_; }
  // Empty when well. While ready(): why a renewal failed.
  const std::string& last_error() const { return last_error_; }

 private:
  struct Pair;

  Pair look() const;
  std::chrono::seconds time_to_finish(const Pair& pair, std::optional<std::time_t>& since) const;
  Awaitable<Result<void>> obtain(Pair pair);
  Result<void> put(const Pair& replaced, std::string_view key, std::string_view certificate);
  void adopt(std::string certificate, std::string key);
  void report(std::string problem);

  const CertificatePaths paths_;
  Sign sign_;
  std::function<void()> on_change_;
  CertificateClock clock_;
  std::string certificate_, private_key_;
  std::string new_key_;  // made, and not yet written
  std::string last_error_;
  bool ready_ = false;
};

// Asks the signing service: POST <service>/?instance_id=<container_id>, as protocol section 6 has it.
CertificateKeeper::Sign sign_at(Url service, std::int64_t container_id);

}  // namespace cppworker
