#include "launchers/backend_search.hpp"

#include <filesystem>
#include <set>

#include "common/logging.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

namespace fs = std::filesystem;

bool is_backend(const fs::path& folder) {
  std::error_code ec;
  return fs::is_regular_file(folder / "backend.json", ec);
}

std::set<std::string> known_backends(const std::vector<std::string>& search_folders) {
  std::set<std::string> names;
  for (const std::string& folder : search_folders) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec))
      if (is_backend(entry.path())) names.insert(entry.path().filename().string());
  }
  return names;
}

}  // namespace

Result<std::string> find_backend(const std::string& name, const std::vector<std::string>& search_folders) {
  // A name, not a path: BACKEND=../elsewhere finds nothing.
  bool is_name = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
  for (const std::string& folder : search_folders) {
    fs::path candidate = fs::path(folder) / name;
    if (is_name && is_backend(candidate)) return candidate.string();
  }
  std::string message = "cannot find the backend \"" + printable(name, 64) + "\"";
  std::set<std::string> known = known_backends(search_folders);
  if (auto suggestion = nearest(name, {known.begin(), known.end()}))
    message += "; did you mean \"" + *suggestion + "\"?";
  if (known.empty()) {
    message += ": no backend in";
    for (const std::string& folder : search_folders) message += " " + folder;
    return fail(std::move(message));
  }
  message += " (known:";
  for (const std::string& each : known) message += " " + each;
  return fail(message + ")");
}

}  // namespace cppworker
