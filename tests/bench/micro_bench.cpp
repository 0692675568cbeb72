// What the single steps of a request cost, apart from each other: times of one thread, by Google Benchmark.
//
//   micro_bench [--benchmark_filter=REGEX]
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <boost/asio/io_context.hpp>

#include "metrics/ledger.hpp"
#include "metrics/replay_window.hpp"
#include "proxy/admission.hpp"
#include "proxy/base64.hpp"
#include "proxy/canonical_json.hpp"
#include "proxy/envelope.hpp"
#include "proxy/signature_verifier.hpp"
#include "tests/proxy/test_keys.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kSmall = 1700, kLarge = 2'000'000;

enum Shape : std::int64_t { kFlat, kWrapped };

std::string base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

// The members that a route has, without the signature.
constexpr std::string_view kRoute =
    R"("cost":256,"endpoint":"my-endpoint","reqnum":17,"url":"http://203.0.113.9:41234")";

AuthFields route_fields() {
  AuthFields auth;
  auth.cost = "256";
  auth.endpoint = "\"my-endpoint\"";
  auth.reqnum = "17";
  auth.url = "\"http://203.0.113.9:41234\"";
  auth.reqnum_value = 17;
  return auth;
}

std::string signature_over(SignedText covers) {
  std::string text;
  if (covers == SignedText::kFull)
    append_full_text(text, route_fields());
  else
    append_url_text(text, route_fields());
  return base64(sign(test_key().get(), text));
}

std::string body_of(Shape shape, std::size_t bytes, SignedText covers) {
  std::string auth = std::string(kRoute) + R"(,"signature":")" + signature_over(covers) + "\"";
  std::string prompt;
  while (prompt.size() < bytes - std::min<std::size_t>(bytes, 600))
    prompt += R"(The harbour lay still. \"Is the boat ready?\" he asked.\n)";
  std::string payload =
      R"("inputs":")" + prompt + R"(","parameters":{"max_new_tokens":128,"temperature":0.7})";
  if (shape == kFlat) return "{" + payload + "," + auth + "}";
  return R"({"auth_data":{)" + auth + R"(},"session_id":null,"payload":{)" + payload + "}}";
}

void envelope(benchmark::State& state) {
  std::string body = body_of(static_cast<Shape>(state.range(0)), static_cast<std::size_t>(state.range(1)),
                             SignedText::kUrlOnly);
  for (auto _ : state) {
    EnvelopeResult parsed = parse_envelope(body);
    if (!parsed) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(parsed);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * body.size()));
}
BENCHMARK(envelope)->ArgNames({"wrapped", "bytes"})->ArgsProduct({{kFlat, kWrapped}, {kSmall, kLarge}});

void canonical_full_text(benchmark::State& state) {
  AuthFields auth = route_fields();
  std::string text;
  for (auto _ : state) {
    text.clear();
    append_full_text(text, auth);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(canonical_full_text);

void canonical_url_text(benchmark::State& state) {
  AuthFields auth = route_fields();
  std::string text;
  for (auto _ : state) {
    text.clear();
    append_url_text(text, auth);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(canonical_url_text);

// A full signature is verified each time; a url-only one is found among the verdicts after the first.
void check_signature_over(benchmark::State& state, SignedText covers) {
  auto ring = KeyRing::from_pems({pem_of(test_key().get())}).value();
  VerdictCache verdicts;
  std::string signature = "\"" + signature_over(covers) + "\"";
  AuthFields auth = route_fields();
  auth.signature = signature;
  for (auto _ : state)
    if (check_signature(auth, *ring, verdicts).covers != covers) return state.SkipWithError("refused");
}
BENCHMARK_CAPTURE(check_signature_over, full, SignedText::kFull);
BENCHMARK_CAPTURE(check_signature_over, url_only_cached, SignedText::kUrlOnly);

void base64_signature(benchmark::State& state) {
  std::string text = signature_over(SignedText::kFull);
  std::array<unsigned char, RsaKey::kLongestSignature> bytes;
  for (auto _ : state) {
    auto size = decode_base64(text, bytes);
    if (!size) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(bytes.data());
  }
}
BENCHMARK(base64_signature);

void admission_reserve_leave(benchmark::State& state) {
  asio::io_context io(1);
  AdmissionLimits limits;
  limits.concurrency = static_cast<std::size_t>(state.range(0));
  Admission admission(limits);
  Demand demand;
  demand.work_milli = 128'000;
  demand.bytes = kSmall;
  for (auto _ : state) {
    auto waiter = std::make_shared<Admission::Waiter>(io.get_executor(), demand);
    if (admission.reserve(waiter).place != Admission::Place::kIn) return state.SkipWithError("not in");
    admission.leave(waiter, true);
  }
}
BENCHMARK(admission_reserve_leave)->ArgName("concurrency")->Arg(0)->Arg(1);

class LedgerOfItsOwn {
 public:
  LedgerOfItsOwn() {
    std::string pattern = std::filesystem::temp_directory_path() / "cppworker-bench-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    folder_ = pattern;
    ledger_ = Ledger::create(folder_ + "/ledger", "bench").value();
  }
  ~LedgerOfItsOwn() { std::filesystem::remove_all(folder_); }
  Ledger* operator->() { return ledger_.get(); }

 private:
  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
};

// One request's two entries into the books; `once` with the replay window's word on it.
void ledger_accept_finish(benchmark::State& state) {
  LedgerOfItsOwn ledger;
  Acceptance request;
  request.endpoint = ledger->endpoint("POST /generate");
  request.work_milli = 128'000;
  request.once = state.range(0) != 0;
  std::uint64_t reqnum = 0;
  for (auto _ : state) {
    request.reqnum = ++reqnum;
    auto [verdict, ticket] = ledger->accept(7, request);
    if (verdict != Verdict::kAccepted) return state.SkipWithError("refused");
    ledger->finish(ticket, {Outcome::kServed, 0.25, 0.125});
  }
}
BENCHMARK(ledger_accept_finish)->ArgName("once")->Arg(0)->Arg(1);

// The same with many requests in flight: the search for a free slot.
void ledger_accept_finish_crowded(benchmark::State& state) {
  LedgerOfItsOwn ledger;
  Acceptance request;
  request.endpoint = ledger->endpoint("POST /generate");
  request.work_milli = 128'000;
  for (std::int64_t i = 0; i < state.range(0); ++i) ledger->accept(7, request);
  for (auto _ : state) {
    auto [verdict, ticket] = ledger->accept(7, request);
    if (verdict != Verdict::kAccepted) return state.SkipWithError("refused");
    ledger->finish(ticket, {Outcome::kServed, 0.25, 0.125});
  }
}
BENCHMARK(ledger_accept_finish_crowded)->ArgName("in_flight")->Arg(64)->Arg(4000);

// The reqnums of 64 connections: each out of order by up to 64.
void replay_window(benchmark::State& state) {
  ReplayWindow window;
  std::uint64_t next = 0;
  for (auto _ : state) {
    std::uint64_t reqnum = 1 + (next ^ 63);
    ++next;
    if (judge(window, reqnum) != ReplayVerdict::kFresh) return state.SkipWithError("refused");
    window = remember(window, reqnum);
    benchmark::DoNotOptimize(window);
  }
}
BENCHMARK(replay_window);

void count_counter(benchmark::State& state) {
  LedgerOfItsOwn ledger;
  for (auto _ : state) ledger->count(Counter::kBytesFromClients, kSmall);
}
BENCHMARK(count_counter);

}  // namespace
}  // namespace cppworker
