#include "proxy/body_check.hpp"

#include <optional>
#include <utility>

#include "proxy/authentication.hpp"

namespace cppworker {

Awaitable<EnvelopeResult> check_body(ProxyThread& thread, const ClientShares::Place& client, int max_depth,
                                     std::string_view body) {
  const ProxySettings& settings = thread.core.settings;
  if (body.size() <= kCheckedInPlace) co_return take_apart(body, settings, max_depth);
  std::optional<EnvelopeResult> result;
  const std::function<void()> work = [&] { result.emplace(take_apart(body, settings, max_depth)); };
  std::exception_ptr failure;
  co_await thread.checks.wait(client.client());
  try {
    co_await run_on_checker(thread, work);
  } catch (...) {
    failure = std::current_exception();
  }
  thread.checks.leave();
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*result);
}

}  // namespace cppworker
