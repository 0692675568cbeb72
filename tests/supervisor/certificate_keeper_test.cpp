#include "supervisor/certificate_keeper.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <fstream>
#include <set>
#include <vector>

#include "common/text.hpp"
#include "supervisor/certificate_files.hpp"
#include "tests/common/run_until.hpp"
#include "tests/common/test_certificates.hpp"
#include "tests/supervisor/http_stub.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::time_t kDay = 24 * 3600;

class CertificateKeeperTest : public testing::Test {
 protected:
  // Runs a keeper until it has slept so often, without a moment of real sleep. What happens during a sleep,
  // the test says with `during`.
  void run_for_sleeps(std::size_t number) {
    CertificateClock clock;
    clock.now = [this] { return now; };
    clock.sleep = [this, number](seconds duration) { return sleep(duration, number); };
    CertificateKeeper::Sign signer;
    if (may_sign) signer = [this](std::string request) { return sign(std::move(request)); };
    keeper.emplace(
        paths, signer, [this] { ++changes; }, std::move(clock));
    sleeps.clear();
    loop.emplace();
    asio::co_spawn(*loop, keeper->run(), [](std::exception_ptr problem) {
      if (problem) std::rethrow_exception(problem);
    });
    ASSERT_TRUE(run_until(*loop, [&] { return sleeps.size() == number; }));
    loop.reset();
  }

  Awaitable<> sleep(seconds duration, std::size_t number) {
    sleeps.push_back(duration);
    if (sleeps.size() == number) co_await sleep_for(1h);  // the test is over before that
    now += sleeps_end_early ? 1 : duration.count();
    if (during) during();
  }

  // A signing service that answers as `answers` say, and then signs.
  Awaitable<Result<std::string>> sign(std::string request) {
    requests.push_back(request);
    if (while_signing) while_signing();
    if (answers.empty()) co_return sign_request(request, {.from = now - 60, .until = now + lifetime});
    Result<std::string> answer = std::move(answers.front());
    answers.pop_front();
    co_return answer;
  }

  void put(const std::string& path, const std::string& content) { std::ofstream(path) << content; }
  // Somebody else's pair.
  void put_pair(const TestKey& key, std::time_t until) {
    put(paths.key, private_pem(key.get()));
    put(paths.certificate, self_signed(key, {.from = now - 365 * kDay, .until = until}));
  }
  static std::optional<std::string> content(const std::string& path) { return read_file(path, 1 << 20); }
  static unsigned mode(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777U : 0;
  }
  void expect_good_pair() const {
    const Result<void> checked =
        check_certificate(content(paths.certificate).value_or(""), content(paths.key).value_or(""), now);
    EXPECT_TRUE(checked) << checked.error().message;
  }

  const TemporaryFolder folder;
  const CertificatePaths paths{folder / "instance.crt", folder / "instance.key", folder / "own_key"};
  std::time_t now = std::time(nullptr);
  std::time_t lifetime = 365 * kDay;
  bool may_sign = true;
  bool sleeps_end_early = false;  // after a second: a file has changed
  std::deque<Result<std::string>> answers;
  std::function<void()> during, while_signing;
  std::vector<std::string> requests;
  std::vector<seconds> sleeps;
  int changes = 0;
  std::optional<asio::io_context> loop;
  std::optional<CertificateKeeper> keeper;
};

TEST_F(CertificateKeeperTest, UsesAGoodPairAsItIs) {
  put_pair(make_ec_key(), now + 365 * kDay);
  const auto before = content(paths.certificate);
  run_for_sleeps(3);
  EXPECT_TRUE(keeper->ready());
  EXPECT_EQ(keeper->last_error(), "");
  EXPECT_EQ(changes, 1);
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(content(paths.certificate), before);
  EXPECT_EQ(keeper->certificate(), before);
  EXPECT_EQ(keeper->private_key(), content(paths.key));
  EXPECT_EQ(mode(paths.own_key_mark), 0U) << "it isn't ours";
}

TEST_F(CertificateKeeperTest, MakesAPairWhereThereIsNone) {
  run_for_sleeps(1);
  EXPECT_TRUE(keeper->ready());
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(requests.size(), 1U);
  expect_good_pair();
  EXPECT_EQ(mode(paths.key), 0600U);
  EXPECT_EQ(mode(paths.certificate), 0644U);
  EXPECT_THAT(sleeps, ElementsAre(1h));
}

TEST_F(CertificateKeeperTest, RetriesEverLessOftenAndWritesNothingBefore) {
  for (int i = 0; i < 8; ++i) answers.push_back(fail("no answer from there"));
  during = [this] {
    if (sleeps.size() < 8) {
      EXPECT_EQ(keeper->last_error(), "no answer from there");
      EXPECT_FALSE(keeper->ready());
      EXPECT_FALSE(content(paths.key) || content(paths.certificate) || content(paths.own_key_mark));
    }
  };
  run_for_sleeps(9);
  EXPECT_THAT(sleeps, ElementsAre(1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 1h));
  EXPECT_EQ(keeper->last_error(), "");
  EXPECT_EQ(changes, 1);
  expect_good_pair();
  const std::set<std::string> keys_asked_for = [this] {
    std::set<std::string> keys;
    for (const std::string& request : requests)
      keys.insert(written([&](BIO* out) {
        return PEM_write_bio_PUBKEY(out, X509_REQ_get0_pubkey(request_from(request).get()));
      }));
    return keys;
  }();
  EXPECT_EQ(keys_asked_for.size(), 1U) << "one key was made for all tries";
}

TEST_F(CertificateKeeperTest, TakesNothingButACertificateForItsKey) {
  answers.push_back(std::string("<html>token=hunter2</html>"));
  answers.push_back(self_signed(make_ec_key()));
  std::vector<std::string> problems;
  during = [&] {
    problems.push_back(keeper->last_error());
    EXPECT_EQ(content(paths.certificate), std::nullopt);
  };
  run_for_sleeps(3);
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(
      problems[0],
      "the signing service's answer: cannot use the certificate: it isn't a PEM certificate (26 bytes)");
  EXPECT_THAT(problems[1], HasSubstr("for another key than ours"));
  expect_good_pair();
}

TEST_F(CertificateKeeperTest, ReplacesABrokenPairAtTheSecondLookAndKeepsItsKey) {
  put(paths.key, private_pem(make_ec_key().get()));
  put(paths.certificate, "<html>Bad Gateway</html>");
  const auto old_key = content(paths.key);
  during = [&] {
    EXPECT_THAT(keeper->last_error(),
                AllOf(HasSubstr(paths.certificate), HasSubstr("isn't a PEM certificate")));
    EXPECT_EQ(content(paths.key), old_key);
  };
  run_for_sleeps(2);
  EXPECT_THAT(sleeps, ElementsAre(10s, 1h));
  EXPECT_EQ(keeper->last_error(), "");
  expect_good_pair();
  EXPECT_NE(content(paths.key), old_key);
  EXPECT_EQ(content(paths.key + ".replaced"), old_key);
}

TEST_F(CertificateKeeperTest, LeavesAPairAloneThatWasOnlyHalfWritten) {
  const TestKey key = make_ec_key();
  put(paths.key, private_pem(key.get()));
  put(paths.certificate, self_signed(make_ec_key()));
  during = [&] { put(paths.certificate, self_signed(key)); };
  run_for_sleeps(2);
  EXPECT_TRUE(keeper->ready());
  EXPECT_EQ(keeper->last_error(), "");
  EXPECT_TRUE(requests.empty());
}

TEST_F(CertificateKeeperTest, LeavesAPairAloneThatAppearsWhileItAsks) {
  const TestKey key = make_ec_key();
  while_signing = [&] { put_pair(key, now + 365 * kDay); };
  during = [&] { EXPECT_THAT(keeper->last_error(), HasSubstr("somebody else has changed")); };
  run_for_sleeps(2);
  EXPECT_EQ(requests.size(), 1U);
  EXPECT_EQ(content(paths.key), private_pem(key.get()));
  EXPECT_TRUE(keeper->ready());
}

TEST_F(CertificateKeeperTest, GoesOnWithItsOwnKeyAfterACrashBetweenTheTwoFiles) {
  run_for_sleeps(1);
  const auto key = content(paths.key);
  ::unlink(paths.certificate.c_str());
  run_for_sleeps(1);
  EXPECT_THAT(sleeps, ElementsAre(1h)) << "no second look: nobody else is at work";
  EXPECT_EQ(content(paths.key), key);
  expect_good_pair();
}

TEST_F(CertificateKeeperTest, RenewsItsOwnTwoWeeksBeforeTheEndWithTheSameKey) {
  const std::time_t due = now + 351 * kDay;
  std::optional<std::string> key, first;
  during = [&] {
    if (sleeps.size() == 1) {
      key = content(paths.key);
      first = content(paths.certificate);
      now = due - 60;
    } else {
      EXPECT_EQ(requests.size(), 1U) << "a minute too early";
      now = due + 60;
    }
  };
  run_for_sleeps(3);
  EXPECT_EQ(requests.size(), 2U);
  EXPECT_EQ(changes, 2) << "there is another certificate";
  EXPECT_EQ(content(paths.key), key);
  EXPECT_NE(content(paths.certificate), first);
  EXPECT_EQ(content(paths.key + ".replaced"), std::nullopt);
  expect_good_pair();
}

TEST_F(CertificateKeeperTest, StaysReadyWhileRenewingFails) {
  during = [&] {
    EXPECT_TRUE(keeper->ready());
    if (sleeps.size() == 1) {
      now += 355 * kDay;
      answers.assign(3, Result<std::string>(fail("no answer from there")));
    } else {
      EXPECT_EQ(keeper->last_error(), "no answer from there");
    }
  };
  run_for_sleeps(5);
  EXPECT_THAT(sleeps, ElementsAre(1h, 1h, 1h, 1h, 1h)) << "no hurry";
  EXPECT_EQ(keeper->last_error(), "");
  EXPECT_EQ(changes, 2);
}

TEST_F(CertificateKeeperTest, RenewsAShortLivedOneInItsLastThirdOnly) {
  lifetime = 9 * kDay;
  during = [&] {
    if (sleeps.size() == 1) now += 6 * kDay - 2 * 3600;
  };
  run_for_sleeps(4);
  EXPECT_EQ(requests.size(), 2U);
  EXPECT_EQ(changes, 2);
}

TEST_F(CertificateKeeperTest, AsksOnceAnHourWhenItOnlyGetsCertificatesThatAreDueAlready) {
  lifetime = 20;  // of 80 s, as the service dates them back by 60
  during = [this] { now -= sleeps.back().count(); };
  run_for_sleeps(4);
  EXPECT_THAT(sleeps, ElementsAre(1h, 1h, 1h, 1h));
}

TEST_F(CertificateKeeperTest, NeverRenewsWhatIsSomebodyElses) {
  put_pair(make_ec_key(), now + 3600 + 60);
  run_for_sleeps(2);
  EXPECT_TRUE(keeper->ready());
  EXPECT_TRUE(requests.empty()) << "a minute is left";
}

TEST_F(CertificateKeeperTest, NeverRenewsAPairThatWasPutInPlaceOfItsOwn) {
  during = [&] {
    if (sleeps.size() == 1) put_pair(make_ec_key(), now + 2 * kDay);
  };
  run_for_sleeps(3);
  EXPECT_EQ(requests.size(), 1U);
  EXPECT_EQ(keeper->last_error(), "");
}

TEST_F(CertificateKeeperTest, ReplacesAnExpiredPairWhoseverItIs) {
  put_pair(make_ec_key(), now + 1800);
  during = [this] {
    if (sleeps.size() == 2) {
      EXPECT_FALSE(keeper->ready());
      EXPECT_THAT(keeper->last_error(), HasSubstr("it expired on"));
    }
  };
  run_for_sleeps(3);
  EXPECT_THAT(sleeps, ElementsAre(1h, 10s, 1h));
  EXPECT_EQ(changes, 2);
  expect_good_pair();
}

TEST_F(CertificateKeeperTest, TakesAPairThatWasReplaced) {
  put_pair(make_ec_key(), now + 365 * kDay);
  std::string first;
  during = [&] {
    if (sleeps.size() > 1) return;
    first = keeper->certificate();
    put_pair(make_ec_key(), now + 365 * kDay);
  };
  run_for_sleeps(3);
  EXPECT_EQ(changes, 2);
  EXPECT_NE(keeper->certificate(), first);
  EXPECT_EQ(keeper->certificate(), content(paths.certificate));
  EXPECT_EQ(keeper->private_key(), content(paths.key));
}

TEST_F(CertificateKeeperTest, KeepsTheOldPairInUseWhileTheNewOneIsHalfWritten) {
  put_pair(make_ec_key(), now + 365 * kDay);
  const TestKey next = make_ec_key();
  std::string first;
  sleeps_end_early = true;  // each write ends one
  during = [&] {
    if (sleeps.size() == 1) {
      first = keeper->certificate();
      put(paths.certificate, self_signed(next));
    } else if (sleeps.size() < 6) {
      EXPECT_EQ(keeper->certificate(), first);
      EXPECT_THAT(keeper->last_error(), HasSubstr("for another key"));
      put(paths.certificate, self_signed(next));
    } else if (sleeps.size() == 6) {
      put(paths.key, private_pem(next.get()));
    }
  };
  run_for_sleeps(8);
  EXPECT_TRUE(requests.empty()) << "a look because of a change is no second look";
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(keeper->certificate(), content(paths.certificate));
  EXPECT_EQ(keeper->last_error(), "");
}

TEST_F(CertificateKeeperTest, NeverAsksWithoutASigningServiceAndSaysWhatHelps) {
  may_sign = false;
  during = [&] {
    EXPECT_THAT(keeper->last_error(), AllOf(HasSubstr("there is no " + paths.key),
                                            HasSubstr("put a certificate and its key there")));
    if (sleeps.size() == 2) put_pair(make_ec_key(), now + 365 * kDay);
  };
  run_for_sleeps(3);
  EXPECT_TRUE(keeper->ready());
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(keeper->last_error(), "");
}

TEST_F(CertificateKeeperTest, TakesWhatIsThereOrSaysWhyItCannot) {
  CertificateKeeper waiting(
      paths, {}, [this] { ++changes; }, system_certificate_clock(paths));
  EXPECT_THAT(waiting.take_what_is_there().error().message,
              AllOf(HasSubstr("cannot serve TLS: there is no " + paths.key), HasSubstr("CONTAINER_ID")));
  put_pair(make_ec_key(), now - kDay);
  EXPECT_THAT(waiting.take_what_is_there().error().message, HasSubstr("it expired on"));
  EXPECT_EQ(waiting.certificate(), "");
  put_pair(make_ec_key(), now + kDay);
  EXPECT_TRUE(waiting.take_what_is_there());
  EXPECT_EQ(waiting.certificate(), content(paths.certificate));
  EXPECT_EQ(changes, 1);
}

// With the system's clock: the change is what ends the sleep.
TEST_F(CertificateKeeperTest, SeesAChangeOfEitherFileByItself) {
  put_pair(make_ec_key(), now + 365 * kDay);
  CertificateKeeper watching(
      paths, {}, [this] { ++changes; }, system_certificate_clock(paths));
  asio::io_context io;
  asio::co_spawn(io, watching.run(), [](std::exception_ptr problem) {
    if (problem) std::rethrow_exception(problem);
  });
  ASSERT_TRUE(run_until(io, [&] { return changes == 1; }));
  put_pair(make_ec_key(), now + 365 * kDay);
  ASSERT_TRUE(run_until(io, [&] { return changes == 2; }));
  EXPECT_EQ(watching.certificate(), content(paths.certificate));
  EXPECT_EQ(watching.private_key(), content(paths.key));
}

TEST_F(CertificateKeeperTest, LeavesAPairAloneThatItCannotRead) {
  // Root may read any file, but no folder as one.
  ASSERT_EQ(::mkdir(paths.key.c_str(), 0700), 0);
  run_for_sleeps(3);
  EXPECT_FALSE(keeper->ready());
  EXPECT_THAT(keeper->last_error(),
              AllOf(HasSubstr("cannot read " + paths.key), HasSubstr("must be allowed")));
  EXPECT_TRUE(requests.empty());
  EXPECT_THAT(sleeps, ElementsAre(60s, 60s, 60s));
}

TEST_F(CertificateKeeperTest, SaysWhatItCannotWriteAndTriesAgain) {
  // Nothing can be renamed onto a folder that isn't empty.
  ASSERT_EQ(::mkdir(paths.own_key_mark.c_str(), 0700), 0);
  put(paths.own_key_mark + "/full", "");
  run_for_sleeps(2);
  EXPECT_THAT(keeper->last_error(), HasSubstr("cannot write " + paths.own_key_mark));
  EXPECT_EQ(content(paths.key), std::nullopt);
  EXPECT_THAT(sleeps, ElementsAre(1s, 2s));
}

// The way to the signing service, over real HTTP.
class SignAt : public testing::Test {
 protected:
  Result<std::string> ask(HttpStub::Answer answer) {
    HttpStub service(io, [&](const HttpStub::Request& request) {
      seen = request;
      return answer;
    });
    Url url = service.url();
    url.path = "/api/v0/sign_cert";
    const CertificateKeeper::Sign sign = sign_at(url, 4711);
    return run_coroutine(io, sign("the request"));
  }

  asio::io_context io;
  HttpStub::Request seen;
};

TEST_F(SignAt, PostsTheRequestAsTheServiceExpectsIt) {
  const Result<std::string> answer = ask({.body = "the certificate"});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, "the certificate");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/api/v0/sign_cert/?instance_id=4711");
  EXPECT_EQ(seen.content_type, "application/octet-stream");
  EXPECT_EQ(seen.body, "the request");
}

TEST_F(SignAt, TellsARefusalByItsStatusAloneAndAsksForTheID) {
  const Result<std::string> answer = ask({.status = 403, .body = "token=hunter2"});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, AllOf(HasSubstr("status 403"), HasSubstr("13 bytes"),
                                            HasSubstr("CONTAINER_ID 4711"), Not(HasSubstr("hunter2"))));
}

TEST_F(SignAt, SaysThatNobodyListens) {
  Url url;
  {
    HttpStub gone(io, {});
    url = gone.url();
  }
  const CertificateKeeper::Sign sign = sign_at(url, 1);
  EXPECT_THAT(run_coroutine(io, sign("")).error().message,
              AllOf(HasSubstr("cannot get a certificate from http://"), HasSubstr("cannot connect")));
}

TEST_F(SignAt, ReadsNoMoreThanACertificateCanHave) {
  EXPECT_FALSE(ask({.body = std::string(kLargestPem + 1, 'x')}));
}

}  // namespace
}  // namespace cppworker
