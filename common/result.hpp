// Expected failures are values: Result<T> holds a T or an Error. Exceptions mean "cannot start" or a bug.
#pragma once

#include <boost/system/result.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace cppworker {

// What could not be done, to what, why, and what helps: "cannot <verb> <object>: <cause>", lower case, no final
// stop. Never holds a secret: its text ends in logs and in answers.
struct Error {
  std::string message;
};

// Called by Result<T>::value() on an error, which is a bug of the caller.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::logic_error("unchecked error: " + error.message);
}

template <class T>
using Result = boost::system::result<T, Error>;

inline Error fail(std::string message) { return Error{std::move(message)}; }

// "cannot open the ledger: <inner>": the caller's context before the callee's cause.
inline Error wrap(std::string_view context, const Error& inner) {
  return Error{std::string(context) + ": " + inner.message};
}

}  // namespace cppworker
