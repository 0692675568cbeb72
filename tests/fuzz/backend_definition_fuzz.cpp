// backend.json: any file is either a definition or refused with a message that names the file.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "launchers/backend_definition.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

// A backend's folder; its name is part of what is checked.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "backend-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(path());
    std::ofstream(path() / "launch.sh") << "#!/bin/sh\n";
    ::chmod((path() / "launch.sh").c_str(), 0755);
  }
  ~Folder() { std::filesystem::remove_all(root_); }
  std::filesystem::path path() const { return root_ / "fuzzed"; }

 private:
  std::filesystem::path root_;
};

}  // namespace

void check_input(std::string_view input) {
  static const Folder folder;
  std::ofstream(folder.path() / "backend.json", std::ios::binary) << input;
  auto backend = load_backend(folder.path());
  if (!backend) {
    const std::string& message = backend.error().message;
    require(message.find("backend.json") != std::string::npos, "an error names the file");
    require(message.size() < 4096, "an error can be read");
    return;
  }
  require(backend->name == "fuzzed" && !backend->endpoints.empty(), "a definition is whole");
  for (const EndpointDefinition& endpoint : backend->endpoints)
    require(backend->find_endpoint(endpoint.method, endpoint.path) == &endpoint, "an endpoint is there once");
}

}  // namespace cppworker::fuzz
