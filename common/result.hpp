// Expected failures are values: Result<T> holds a T or an Error. Exceptions mean "cannot start" or a bug.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <boost/system/result.hpp>

namespace cppworker {

// What could not be done, to what, why, and what helps: "cannot <verb> <object>: <cause>", lower case, no
// final stop. Never holds a secret: its text ends in logs and in answers.
struct Error {
  std::string message;

  // Made by fail() and wrap(). Not constructible from a string alone: Result<std::string> couldn't tell its
  // error from its value.
  struct Made {};
  Error() = default;  // Result needs it
  Error(Made, std::string text) : message(std::move(text)) {}
};

// Called by Result<T>::value() on an error, which is a bug of the caller.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::logic_error("unchecked error: " + error.message);
}

template <class T>
using Result = boost::system::result<T, Error>;

inline Error fail(std::string message) {
  return {Error::Made{}, std::move(message)};
}

// "cannot open the ledger: <inner>": the caller's context before the callee's cause.
inline Error wrap(std::string_view context, const Error& inner) {
  return fail(std::string(context) + ": " + inner.message);
}

}  // namespace cppworker
