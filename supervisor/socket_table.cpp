#include "supervisor/socket_table.hpp"

#include <charconv>
#include <vector>

namespace cppworker {
namespace {

// "0: 0100007F:1389 00000000:0000 0A queue timer retransmits uid timeout INODE …"
constexpr std::size_t kLocal = 1, kRemote = 2, kState = 3, kInode = 9, kWords = 10;

bool split_address(std::string_view word, std::string_view& address, std::uint16_t& port) {
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos) return false;
  address = word.substr(0, colon);
  return std::from_chars(word.data() + colon + 1, word.data() + word.size(), port, 16).ec == std::errc();
}

}  // namespace

std::optional<SocketRow> parse_socket(std::string_view line) {
  const std::vector<std::string_view> words = words_of(line, kWords);
  if (words.size() < kWords) return std::nullopt;
  SocketRow row;
  if (!split_address(words[kLocal], row.local_address, row.local_port) ||
      !split_address(words[kRemote], row.remote_address, row.remote_port))
    return std::nullopt;
  row.state = words[kState];
  std::from_chars(words[kInode].data(), words[kInode].data() + words[kInode].size(), row.inode);
  return row;
}

bool is_loopback(std::string_view address) {
  // 127.0.0.1 is 0100007F. The same at the end of an IPv4 address in IPv6.
  if (address.size() == 8 || address.starts_with("0000000000000000FFFF0000")) return address.ends_with("7F");
  return address == "00000000000000000000000001000000";  // ::1
}

bool is_every_address(std::string_view address) {
  return address.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace cppworker
