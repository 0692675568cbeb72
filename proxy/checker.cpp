#include "proxy/checker.hpp"

#include <exception>
#include <utility>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace cppworker {

Awaitable<> run_on_checker(ProxyThread& thread, std::function<void()> work) {
  std::exception_ptr failure;
  auto start = [&](auto handler) {
    auto home = asio::make_work_guard(asio::get_associated_executor(handler));
    asio::post(thread.checker,
               [&work, &failure, home = std::move(home), handler = std::move(handler)]() mutable {
                 try {
                   work();
                 } catch (...) {
                   failure = std::current_exception();
                 }
                 asio::post(home.get_executor(), std::move(handler));
               });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(start), asio::use_awaitable);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace cppworker
