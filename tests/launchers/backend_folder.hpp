// A folder with a backend in it, for tests: made in a temporary place, removed with it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <nlohmann/json.hpp>

namespace cppworker {

// The least that a backend.json needs, for tests to change.
inline nlohmann::json small_backend(const std::string& name = "small") {
  return {{"name", name},
          {"server", {{"url", "http://127.0.0.1:5001"}}},
          {"launch", {{"script", "launch.sh"}}},
          {"log", {{"ready", {"Connected"}}}},
          {"endpoints", {{{"method", "POST"}, {"path", "/generate"}, {"workload", 1}}}}};
}

class BackendFolders {
 public:
  BackendFolders() {
    if (mkdtemp(root_.data()) == nullptr) ADD_FAILURE() << "cannot make a temporary folder";
  }
  ~BackendFolders() { std::filesystem::remove_all(root_); }
  BackendFolders(const BackendFolders&) = delete;
  BackendFolders& operator=(const BackendFolders&) = delete;

  const std::string& root() const { return root_; }

  // The folder of a backend with this definition and an executable launch.sh.
  std::string add(const std::string& name, const std::string& definition) {
    std::filesystem::path folder = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "backend.json") << definition;
    std::ofstream(folder / "launch.sh") << "#!/bin/sh\nexec true\n";
    std::filesystem::permissions(folder / "launch.sh", std::filesystem::perms::owner_all);
    return folder.string();
  }

 private:
  std::string root_ = testing::TempDir() + "backends-XXXXXX";
};

}  // namespace cppworker
