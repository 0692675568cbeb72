#include "launchers/workload_sandbox.hpp"

#include <cstdlib>
#include <initializer_list>
#include <new>
#include <lua.hpp>

namespace cppworker {

// What Lua calls. An error in Lua is a longjmp over our frames: nothing in these functions may own anything.
struct SandboxFunctions {
  // Names in Lua's registry, which no expression can read.
  static constexpr const char* kEnvironment = "cppworker.environment";
  static constexpr const char* kFormula = "cppworker.formula";

  static void* allocate(void* context, void* block, std::size_t old_size, std::size_t new_size) {
    std::size_t& used = static_cast<WorkloadSandbox*>(context)->memory_;
    if (block == nullptr) old_size = 0;  // then it is the kind of the object
    if (new_size == 0) {
      std::free(block);
      used -= old_size;
      return nullptr;
    }
    // Lua relies on blocks that shrink in place.
    if (new_size > old_size && used - old_size + new_size > WorkloadSandbox::kMemoryBudget) return nullptr;
    void* moved = std::realloc(block, new_size);
    if (moved != nullptr) used = used - old_size + new_size;
    return moved;
  }

  static void on_budget_spent(lua_State* lua, lua_Debug*) { luaL_error(lua, "it takes too many steps"); }

  static int index_nothing(lua_State* lua) {
    lua_pushnil(lua);
    return 1;
  }

  static int refuse_write(lua_State* lua) { return luaL_error(lua, "it may not assign to a global"); }

  // Replaces the table on top by one that reads from it and can't be written.
  static void make_read_only(lua_State* lua) {
    lua_createtable(lua, 0, 0);
    lua_createtable(lua, 0, 2);
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_write);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
    lua_remove(lua, -2);
  }

  // Replaces the table on top by a new one with only these of its members.
  static void copy_members(lua_State* lua, std::initializer_list<const char*> names) {
    lua_createtable(lua, 0, static_cast<int>(names.size()));
    for (const char* name : names) {
      lua_getfield(lua, -2, name);
      lua_setfield(lua, -2, name);
    }
    lua_remove(lua, -2);
  }

  // What isn't there, or isn't what was expected, has no members either. The string library's own metatable
  // goes with that, and "text":rep(n) with it.
  static void make_types_indexable(lua_State* lua) {
    lua_pushnil(lua);
    lua_pushboolean(lua, 0);
    lua_pushnumber(lua, 0);
    lua_pushliteral(lua, "");
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, index_nothing);
    lua_setfield(lua, -2, "__index");
    for (int value = -5; value <= -2; ++value) {
      lua_pushvalue(lua, -1);
      lua_setmetatable(lua, value - 1);
    }
    lua_pop(lua, 5);
  }

  static void add_library(lua_State* lua, int environment, const char* name, lua_CFunction open,
                          std::initializer_list<const char*> members) {
    luaL_requiref(lua, name, open, 0);
    copy_members(lua, members);
    make_read_only(lua);
    lua_setfield(lua, environment, name);
  }

  // Runs protected: creates everything, and leaves the environment and the compiled expression in the
  // registry.
  static int set_up(lua_State* lua) {
    auto* text = static_cast<const char*>(lua_touserdata(lua, 1));

    register_payload_view(lua);
    luaL_requiref(lua, "_G", luaopen_base, 0);
    copy_members(lua, {"ipairs", "tonumber", "tostring", "type"});
    add_payload_functions(lua);
    int environment = lua_gettop(lua);
    add_library(lua, environment, "string", luaopen_string, {"len", "lower", "upper", "sub"});
    add_library(lua, environment, "math", luaopen_math,
                {"abs", "ceil", "exp", "floor", "fmod", "huge", "log", "max", "min", "pi", "sqrt"});
    make_types_indexable(lua);

    // Brackets, so that it is one expression; a line of their own for the last, in case it ends in a comment.
    lua_pushfstring(lua, "return (%s\n)", text);
    std::size_t size = 0;
    const char* chunk = lua_tolstring(lua, -1, &size);
    if (luaL_loadbufferx(lua, chunk, size, "=formula", "t") != LUA_OK) return lua_error(lua);
    lua_pushvalue(lua, environment);
    make_read_only(lua);
    lua_setupvalue(lua, -2, 1);  // _ENV
    lua_setfield(lua, LUA_REGISTRYINDEX, kFormula);
    lua_pushvalue(lua, environment);
    lua_setfield(lua, LUA_REGISTRYINDEX, kEnvironment);
    return 0;
  }

  // Runs protected: one evaluation.
  static int run(lua_State* lua) {
    WorkloadSandbox& self = *static_cast<WorkloadSandbox*>(lua_touserdata(lua, 1));
    lua_getfield(lua, LUA_REGISTRYINDEX, kEnvironment);
    push_payload_value(lua, self.payload_);
    lua_setfield(lua, -2, "payload");
    lua_getfield(lua, LUA_REGISTRYINDEX, kFormula);
    lua_call(lua, 0, 1);
    int is_number = 0;
    self.result_ = lua_tonumberx(lua, -1, &is_number);
    if (!is_number) return luaL_error(lua, "its value is %s, not a number", luaL_typename(lua, -1));
    return 0;
  }
};

Result<std::unique_ptr<WorkloadSandbox>> WorkloadSandbox::create(const std::string& expression) {
  if (expression.find('\0') != std::string::npos) return fail("it holds a NUL character");
  std::unique_ptr<WorkloadSandbox> made(new WorkloadSandbox());
  made->lua_ = lua_newstate(SandboxFunctions::allocate, made.get());
  if (made->lua_ == nullptr) throw std::bad_alloc();
  attach_payload_reading(made->lua_, made->reading_);
  lua_pushcfunction(made->lua_, SandboxFunctions::set_up);
  // By pointer: making the string could fail, and outside a protected call that would end the program.
  lua_pushlightuserdata(made->lua_, const_cast<char*>(expression.c_str()));
  if (lua_pcall(made->lua_, 1, 0, 0) != LUA_OK) return fail(made->take_error());
  made->simple_ = SimpleFormula::compile(expression);
  return made;
}

WorkloadSandbox::~WorkloadSandbox() {
  if (lua_ != nullptr) lua_close(lua_);
}

Result<double> WorkloadSandbox::evaluate(const JsonObject& payload) {
  if (simple_)
    if (auto value = simple_->evaluate(payload)) return *value;
  ++reading_.evaluation;
  payload_ = payload.text.empty() ? "null" : payload.text;
  reading_.bytes_left = kLeastReadBudget + kReadsOfPayload * static_cast<std::int64_t>(payload.text.size());
  // Also starts the count of instructions anew.
  lua_sethook(lua_, SandboxFunctions::on_budget_spent, LUA_MASKCOUNT, kInstructionBudget);
  lua_pushcfunction(lua_, SandboxFunctions::run);
  lua_pushlightuserdata(lua_, this);
  if (lua_pcall(lua_, 1, 0, 0) != LUA_OK) return fail(take_error());
  return result_;
}

std::string WorkloadSandbox::take_error() {
  std::size_t size = 0;
  const char* text = lua_type(lua_, -1) == LUA_TSTRING ? lua_tolstring(lua_, -1, &size) : nullptr;
  std::string message = text == nullptr ? "an error without a message" : std::string(text, size);
  lua_pop(lua_, 1);
  return message;
}

}  // namespace cppworker
