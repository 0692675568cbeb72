#include "supervisor/certificate_keeper.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "common/http_client.hpp"
#include "common/logging.hpp"
#include "common/text.hpp"
#include "supervisor/certificate_files.hpp"

namespace cppworker {
namespace {

// One try: the service signs at once; the rest is the way there and back.
constexpr std::chrono::seconds kSignLimit{30};

Awaitable<Result<std::string>> post_request(Url service, std::int64_t container_id,
                                            std::string certificate_request) {
  HttpRequest request;
  request.method = "POST";
  request.server = service;
  request.target = service.path + "/?instance_id=" + std::to_string(container_id);
  request.content_type = "application/octet-stream";
  request.body = std::move(certificate_request);
  Result<HttpResponse> response = co_await http_exchange(std::move(request), kSignLimit, kLargestPem);
  if (!response) co_return wrap("cannot get a certificate from " + service.text(), response.error());
  if (!response->ok())
    co_return fail("cannot get a certificate from " + service.text() + ": status " +
                   std::to_string(response->status) + ", " + std::to_string(response->body.size()) +
                   " bytes; is CONTAINER_ID " + std::to_string(container_id) + " this instance's?");
  co_return std::move(response->body);
}

// Nullopt: there is no such file. An error: there is one, or may be, and it can't be read.
Result<std::optional<std::string>> read_if_there(const std::string& path) {
  errno = 0;
  auto content = read_file(path, kLargestPem + 1);
  const int cause = errno;
  if (content || cause == ENOENT) return content;
  return fail("cannot read " + path + ": " + std::strerror(cause));
}

// What shows that a file was written or replaced: which it is, its size and its date. Zeros: there is none.
struct FileMark {
  std::uint64_t device = 0, inode = 0;
  std::int64_t size = 0, changed_ns = 0;
  bool operator==(const FileMark&) const = default;
};

FileMark mark_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino, status.st_size,
          status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec};
}

struct PairMark {
  FileMark certificate, key;
  bool operator==(const PairMark&) const = default;
};

// Polled, as a certificate often lies behind a link into a folder that is exchanged whole: a watch on the
// file or its folder (inotify) would see nothing of that.
Awaitable<> sleep_until_changed(CertificatePaths paths, std::shared_ptr<PairMark> seen,
                                std::chrono::seconds duration) {
  auto look = [&] { return PairMark{mark_of(paths.certificate), mark_of(paths.key)}; };
  const auto until = std::chrono::steady_clock::now() + duration;
  while (true) {
    const PairMark now = look();
    if (now != *seen) {
      *seen = now;
      co_return;
    }
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) co_return;
    co_await sleep_for(std::min<std::chrono::nanoseconds>(left, kLookAtDates));
  }
}

}  // namespace

CertificateClock system_certificate_clock(const CertificatePaths& paths) {
  // Nothing seen yet: the first sleep ends at once, and no change before it is missed.
  auto seen = std::make_shared<PairMark>();
  return {
      [] { return std::time(nullptr); },
      [paths, seen](std::chrono::seconds duration) { return sleep_until_changed(paths, seen, duration); }};
}

CertificateKeeper::Sign sign_at(Url service, std::int64_t container_id) {
  return [service = std::move(service), container_id](std::string request) {
    return post_request(service, container_id, std::move(request));
  };
}

// What lies at the paths.
struct CertificateKeeper::Pair {
  std::optional<std::string> key, certificate;
  bool key_is_ours = false;  // made by this worker, or the one before it
  bool usable = false;
  bool due = false;           // usable, ours, and to be renewed
  std::string problem;        // why it isn't usable
  bool out_of_reach = false;  // it can't even be read: nothing may be put in its place

  // Whether somebody may just be writing what isn't usable.
  bool may_be_half_written() const { return !usable && (certificate || (key && !key_is_ours)); }
};

CertificateKeeper::CertificateKeeper(CertificatePaths paths, Sign sign, std::function<void()> on_change,
                                     CertificateClock clock)
    : paths_(std::move(paths)),
      sign_(std::move(sign)),
      on_change_(std::move(on_change)),
      clock_(std::move(clock)) {}

CertificateKeeper::Pair CertificateKeeper::look() const {
  Pair pair;
  auto key = read_if_there(paths_.key);
  auto certificate = read_if_there(paths_.certificate);
  if (!key || !certificate) {
    pair.out_of_reach = true;
    pair.problem = (key ? certificate.error() : key.error()).message +
                   "; the worker must be allowed to read the certificate and its key";
    return pair;
  }
  pair.key = std::move(*key);
  pair.certificate = std::move(*certificate);
  if (pair.key) {
    const auto mark = read_file(paths_.own_key_mark, kLargestPem);
    const auto fingerprint = key_fingerprint(*pair.key);
    pair.key_is_ours = mark && fingerprint && trim(*mark) == *fingerprint;
  }
  if (!pair.key || !pair.certificate) {
    pair.problem = "there is no " + (pair.key ? paths_.certificate : paths_.key);
    return pair;
  }
  const std::time_t now = clock_.now();
  if (auto checked = check_certificate(*pair.certificate, *pair.key, now); !checked) {
    pair.problem = paths_.certificate + ": " + checked.error().message;
    return pair;
  }
  pair.usable = true;
  if (const auto life = certificate_lifetime(*pair.certificate); life && pair.key_is_ours) {
    const std::time_t early = std::chrono::seconds(kRenewBefore).count();
    pair.due = life->until - now < std::min(early, (life->until - life->from) / 3);
  }
  return pair;
}

Result<void> CertificateKeeper::take_what_is_there() {
  Pair pair = look();
  if (!pair.usable)
    return fail("cannot serve TLS: " + pair.problem + "; put a certificate and its key there, or set " +
                "CONTAINER_ID to have one signed");
  ready_ = true;
  adopt(std::move(*pair.certificate), std::move(*pair.key));
  return {};
}

void CertificateKeeper::adopt(std::string certificate, std::string key) {
  if (certificate == certificate_ && key == private_key_) return;
  certificate_ = std::move(certificate);
  private_key_ = std::move(key);
  on_change_();
}

void CertificateKeeper::report(std::string problem) {
  if (last_error_ != problem) spdlog::warn("Certificate: {}", problem);
  last_error_ = std::move(problem);
}

Result<void> CertificateKeeper::put(const Pair& replaced, std::string_view key,
                                    std::string_view certificate) {
  if (!replaced.key_is_ours) {
    // The mark first: whatever happens in between, a key of ours is never taken for somebody else's.
    if (!write_file_atomically(paths_.own_key_mark, *key_fingerprint(key) + "\n", 0644))
      return fail("cannot write " + paths_.own_key_mark + ": " + std::strerror(errno));
    if (replaced.key) {
      const std::string kept = paths_.key + ".replaced";
      if (std::rename(paths_.key.c_str(), kept.c_str()) != 0)
        return fail("cannot move the private key " + paths_.key + " to " + kept + ": " +
                    std::strerror(errno));
      spdlog::warn("Certificate: the private key that was there is now {}", kept);
    }
    if (auto written = write_key_file(paths_.key, key); !written) return written.error();
  }
  if (!write_file_atomically(paths_.certificate, certificate, 0644))
    return fail("cannot write the certificate " + paths_.certificate + ": " + std::strerror(errno));
  return {};
}

Awaitable<Result<void>> CertificateKeeper::obtain(Pair pair) {
  std::string key = pair.key_is_ours ? *pair.key : new_key_;
  if (key.empty()) {
    auto made = make_key();
    if (!made) co_return made.error();
    key = new_key_ = std::move(*made);
  }
  Result<std::string> request = make_certificate_request(key);
  if (!request) co_return request.error();
  Result<std::string> answer = co_await sign_(std::move(*request));
  if (!answer) co_return answer.error();
  if (auto checked = check_certificate(*answer, key, clock_.now()); !checked)
    co_return wrap("the signing service's answer", checked.error());

  const Pair now = look();
  if (now.key != pair.key || now.certificate != pair.certificate)
    co_return fail("somebody else has changed " + paths_.certificate + " or its key meanwhile");
  auto written = put(pair, key, *answer);
  if (!written) co_return written.error();
  adopt(*answer, key);
  new_key_.clear();
  const auto life = certificate_lifetime(*answer);
  spdlog::info("Certificate: {} is new, valid for {} days", paths_.certificate,
               (life->until - clock_.now()) / (24 * 3600));
  co_return Result<void>();
}

// How long whoever may just be writing the pair has left to finish. A look because a file has changed is no
// second look.
std::chrono::seconds CertificateKeeper::time_to_finish(const Pair& pair,
                                                       std::optional<std::time_t>& since) const {
  if (!pair.may_be_half_written()) return std::chrono::seconds(0);
  if (!since) since = clock_.now();
  // The clock may have been set: never longer than from now on.
  return std::min(kSecondLook, kSecondLook - std::chrono::seconds(clock_.now() - *since));
}

Awaitable<> CertificateKeeper::run() {
  std::chrono::seconds retry = kFirstRetry;
  std::optional<std::time_t> half_written_since;
  while (true) {
    std::chrono::seconds pause = kLookAgain;
    Pair pair = look();
    ready_ = pair.usable;
    if (!pair.may_be_half_written()) half_written_since.reset();
    if (pair.usable) adopt(*pair.certificate, *pair.key);
    if (pair.usable && !pair.due) {
      last_error_.clear();
      retry = kFirstRetry;
    } else if (pair.out_of_reach) {
      report(pair.problem);
      pause = kLongestRetry;
    } else if (!sign_) {
      if (!pair.usable) report(pair.problem + "; put a certificate and its key there");
    } else if (const auto wait = time_to_finish(pair, half_written_since); wait.count() > 0) {
      report(pair.problem + "; it is replaced unless that changes within " +
             std::to_string(kSecondLook.count()) + " s");
      pause = wait;
    } else {
      const bool usable = pair.usable;
      Result<void> obtained = co_await obtain(std::move(pair));
      if (obtained) {
        last_error_.clear();
        ready_ = true;
      } else {
        report(obtained.error().message);
        if (!usable) pause = retry;
        retry = std::min(retry * 2, kLongestRetry);
      }
    }
    co_await clock_.sleep(pause);
  }
}

}  // namespace cppworker
