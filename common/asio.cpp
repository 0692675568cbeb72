// The one translation unit that compiles the bodies of Boost.Asio and Boost.Beast.

// First, and without its assertions, Beast's HTTP parser: it takes for granted that a body's last chunk comes
// with two bytes behind it, where that is the first chunk, too, and goes on rightly when it doesn't. A client
// decides that, and would end a build that has assertions.
#define BOOST_BEAST_SOURCE
#define BOOST_DISABLE_ASSERTS
#include <boost/assert.hpp>
#include <boost/beast/http/impl/basic_parser.ipp>
#undef BOOST_DISABLE_ASSERTS
#include <boost/assert.hpp>

#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
