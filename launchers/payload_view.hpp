// The payload of a request as Lua expressions see it, and the functions that they have for it: internal to
// workload.
//
// Objects, arrays and long strings are userdata that point into the payload's bytes and read them when
// indexed; everything else becomes a value of Lua's (numbers always doubles). All of it works within one
// evaluation: a view that was kept from an earlier one refuses to be used.
#pragma once

#include <cstdint>
#include <string_view>

struct lua_State;

namespace cppworker {

// What one evaluation may still do. Belongs to the owner of the Lua state.
struct PayloadReading {
  std::uint64_t evaluation = 0;  // another number for each
  std::int64_t bytes_left = 0;   // of the payload, to be read; each look at an object costs its length
};

// Once for a state, before anything else here; `state` must outlive it.
void attach_payload_reading(lua_State* lua, PayloadReading& state);

// The rest may raise errors of Lua's: call it inside a protected call.

void register_payload_view(lua_State* lua);

// chars(x), words(x), num(x, otherwise), into the table on top of the stack.
void add_payload_functions(lua_State* lua);

// A JSON value.
void push_payload_value(lua_State* lua, std::string_view value);

}  // namespace cppworker
