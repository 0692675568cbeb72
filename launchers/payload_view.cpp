#include "launchers/payload_view.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <lua.hpp>

#include "common/json_bytes.hpp"
#include "common/json_scan.hpp"

// What Lua calls here may fail with an error of Lua's, which is a longjmp over our frames: nothing in these
// functions may own anything.
namespace cppworker {
namespace {

constexpr const char* kViewName = "payload";
// Longer strings stay views: they are counted, not computed with, and may be megabytes. Names and modes,
// which formulas compare, are shorter.
constexpr std::size_t kLongestLuaString = 256;

PayloadReading& reading(lua_State* lua) {
  void* attached = nullptr;
  std::memcpy(&attached, lua_getextraspace(lua), sizeof attached);
  return *static_cast<PayloadReading*>(attached);
}

// An object, an array or a long string of the payload, not read yet.
struct View {
  const char* data;
  std::size_t size;
  std::uint64_t evaluation;
};

void spend(lua_State* lua, std::size_t bytes) {
  PayloadReading& state = reading(lua);
  state.bytes_left -= static_cast<std::int64_t>(bytes);
  if (state.bytes_left < 0) luaL_error(lua, "it reads the payload too often");
}

std::string_view view_at(lua_State* lua, int index) {
  auto* view = static_cast<View*>(luaL_checkudata(lua, index, kViewName));
  if (view->evaluation != reading(lua).evaluation) luaL_error(lua, "it uses the payload of another request");
  return {view->data, view->size};
}

void push_view(lua_State* lua, std::string_view value) {
  auto* view = static_cast<View*>(lua_newuserdatauv(lua, sizeof(View), 0));
  *view = {value.data(), value.size(), reading(lua).evaluation};
  luaL_setmetatable(lua, kViewName);
}

void push_decoded(lua_State* lua, std::string_view value) {
  // A character takes no more bytes than its spelling in JSON.
  std::array<char, kLongestLuaString> text;
  std::size_t size = 0;
  JsonCharacters characters(value);
  while (auto c = characters.next()) size += encode_utf8(*c, text.data() + size);
  lua_pushlstring(lua, text.data(), size);
}

// payload.name, payload.list[1]
int index_view(lua_State* lua) {
  std::string_view value = view_at(lua, 1);
  JsonType type = json_type(value);
  std::optional<std::string_view> found;
  if (type == JsonType::kObject && lua_type(lua, 2) == LUA_TSTRING) {
    std::size_t size = 0;
    const char* name = lua_tolstring(lua, 2, &size);
    spend(lua, value.size());
    found = find_json_member(value, {name, size});
  } else if (type == JsonType::kArray && lua_isinteger(lua, 2)) {
    spend(lua, value.size());
    JsonItems items(value);
    lua_Integer left = lua_tointeger(lua, 2);
    do found = items.next();
    while (found && --left > 0);
    if (left < 0) found.reset();
  }
  if (found)
    push_payload_value(lua, *found);
  else
    lua_pushnil(lua);
  return 1;
}

int length_of_view(lua_State* lua) {
  std::string_view value = view_at(lua, 1);
  spend(lua, value.size());
  lua_Integer count = 0;
  if (json_type(value) == JsonType::kString) {
    JsonCharacters characters(value);
    std::array<char, 4> bytes;
    while (auto c = characters.next()) count += static_cast<lua_Integer>(encode_utf8(*c, bytes.data()));
  } else if (json_type(value) == JsonType::kArray) {
    JsonItems items(value);
    while (items.next()) ++count;
  }
  lua_pushinteger(lua, count);
  return 1;
}

int equal_views(lua_State* lua) {
  std::string_view a = view_at(lua, 1), b = view_at(lua, 2);
  bool equal = a == b;
  if (!equal && json_type(a) == JsonType::kString && json_type(b) == JsonType::kString) {
    spend(lua, a.size() + b.size());
    JsonCharacters left(a), right(b);
    std::optional<char32_t> c;
    do equal = (c = left.next()) == right.next();
    while (equal && c);
  }
  lua_pushboolean(lua, equal);
  return 1;
}

bool is_long_string(lua_State* lua, int index) {
  return luaL_testudata(lua, index, kViewName) != nullptr &&
         json_type(view_at(lua, index)) == JsonType::kString;
}

int chars(lua_State* lua) {
  double count = 0;
  if (is_long_string(lua, 1)) {
    std::string_view value = view_at(lua, 1);
    spend(lua, value.size());
    count = static_cast<double>(json_string_length(value));
  } else if (lua_type(lua, 1) == LUA_TSTRING) {
    std::size_t size = 0;
    const char* text = lua_tolstring(lua, 1, &size);
    count = static_cast<double>(json_bytes::count_utf8(text, text + size));
  }
  lua_pushnumber(lua, count);
  return 1;
}

// Counts the starts of words, one character after the other.
class WordCounter {
 public:
  void add(char32_t c) {
    bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    count_ += !blank && !inside_;
    inside_ = !blank;
  }
  double count() const { return count_; }

 private:
  double count_ = 0;
  bool inside_ = false;
};

int words(lua_State* lua) {
  WordCounter counter;
  if (is_long_string(lua, 1)) {
    std::string_view value = view_at(lua, 1);
    spend(lua, value.size());
    JsonCharacters characters(value);
    while (auto c = characters.next()) counter.add(*c);
  } else if (lua_type(lua, 1) == LUA_TSTRING) {
    std::size_t size = 0;
    const char* text = lua_tolstring(lua, 1, &size);
    for (std::size_t i = 0; i < size; ++i) counter.add(static_cast<unsigned char>(text[i]));
  }
  lua_pushnumber(lua, counter.count());
  return 1;
}

// num(x, otherwise): also of a numeral in a string, which lenient servers take for a number.
int num(lua_State* lua) {
  int is_number = 0;
  double value = lua_tonumberx(lua, 1, &is_number);
  if (is_number)
    lua_pushnumber(lua, value);
  else if (lua_isnoneornil(lua, 2))
    lua_pushnumber(lua, 0);
  else
    lua_pushvalue(lua, 2);
  return 1;
}

}  // namespace

void attach_payload_reading(lua_State* lua, PayloadReading& state) {
  void* attached = &state;
  std::memcpy(lua_getextraspace(lua), &attached, sizeof attached);
}

void register_payload_view(lua_State* lua) {
  luaL_newmetatable(lua, kViewName);
  static constexpr luaL_Reg kFunctions[] = {
      {"__index", index_view}, {"__len", length_of_view}, {"__eq", equal_views}, {nullptr, nullptr}};
  luaL_setfuncs(lua, kFunctions, 0);
  lua_pop(lua, 1);
}

void add_payload_functions(lua_State* lua) {
  static constexpr luaL_Reg kFunctions[] = {
      {"chars", chars}, {"words", words}, {"num", num}, {nullptr, nullptr}};
  luaL_setfuncs(lua, kFunctions, 0);
}

void push_payload_value(lua_State* lua, std::string_view value) {
  switch (json_type(value)) {
    case JsonType::kNull:
      lua_pushnil(lua);
      return;
    case JsonType::kBoolean:
      lua_pushboolean(lua, value == "true");
      return;
    case JsonType::kNumber:
      lua_pushnumber(lua, json_number(value));
      return;
    case JsonType::kString:
      if (value.size() > kLongestLuaString)
        push_view(lua, value);
      else
        push_decoded(lua, value);
      return;
    case JsonType::kObject:
    case JsonType::kArray:
      push_view(lua, value);
  }
}

}  // namespace cppworker
