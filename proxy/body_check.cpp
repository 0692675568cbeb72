#include "proxy/body_check.hpp"

#include <optional>
#include <utility>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "proxy/authentication.hpp"

namespace cppworker {
namespace {

// Runs `work` on the checker, and goes on where it came from.
template <class Work>
Awaitable<> run_on(asio::thread_pool& checker, Work& work) {
  auto start = [&checker, &work](auto handler) {
    auto home = asio::make_work_guard(asio::get_associated_executor(handler));
    asio::post(checker, [&work, home = std::move(home), handler = std::move(handler)]() mutable {
      work();
      asio::post(home.get_executor(), std::move(handler));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(start), asio::use_awaitable);
}

}  // namespace

Awaitable<EnvelopeResult> check_body(ProxyThread& thread, const ClientShares::Place& client,
                                     std::string_view body) {
  const ProxySettings& settings = thread.core.settings;
  if (body.size() <= kCheckedInPlace) co_return take_apart(body, settings);
  std::optional<EnvelopeResult> result;
  std::exception_ptr failure;  // memory that ran out: it is this request's, not the checker's
  auto work = [&] {
    try {
      result.emplace(take_apart(body, settings));
    } catch (...) {
      failure = std::current_exception();
    }
  };
  co_await thread.checks.wait(client.client());
  try {
    co_await run_on(thread.checker, work);
  } catch (...) {
    failure = std::current_exception();
  }
  thread.checks.leave();
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*result);
}

}  // namespace cppworker
