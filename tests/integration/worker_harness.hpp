// A whole worker for a test: `cppworker run` with a stand-in inference server in the place of the program
// that the backend's launch script starts, and a stand-in autoscaler.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <nlohmann/json.hpp>

#include "test_http.hpp"
#include "test_process.hpp"

namespace cppworker::testing {

// The URL that the workers of the tests report; only its text matters to a signature.
inline const std::string kWorkerUrl = "http://203.0.113.9:41234";

class Autoscaler {
 public:
  Autoscaler();
  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // A signed route: the flat request's auth fields. `options` goes into the request for it: {"covers":
  // "url"}.
  nlohmann::json route(nlohmann::json options = nlohmann::json::object());
  // Waits until a report satisfies `wanted`, looking at all from the first on; returns it (null: none came).
  template <class Predicate>
  nlohmann::json wait_for_report(Predicate wanted) {
    return wait_in("/reports", wanted);
  }
  template <class Predicate>
  nlohmann::json wait_for_delete(Predicate wanted) {
    return wait_in("/deletes", wanted);
  }
  nlohmann::json reports() { return get(port_, "/reports").json(); }
  TestProcess& process() { return *process_; }
  nlohmann::json deletes() { return get(port_, "/deletes").json(); }
  // The next calls of `path` fail with that status; 0: without an answer.
  void fail(const std::string& path, int times, int status);

 private:
  template <class Predicate>
  nlohmann::json wait_in(const std::string& list, Predicate wanted) {
    std::size_t seen = 0;
    auto until = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < until) {
      nlohmann::json all = get(port_, list + "/wait?after=" + std::to_string(seen)).json();
      if (!all.is_array()) return nullptr;
      for (; seen < all.size(); ++seen)
        if (wanted(all[seen])) return all[seen];
    }
    return nullptr;
  }

  std::unique_ptr<TestProcess> process_;
  std::uint16_t port_ = 0;
};

// A temporary folder, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A folder for backends of a test's own, whose launch.sh is the given script.
class BackendFolder {
 public:
  // `definition` is added to the least that a backend.json needs.
  BackendFolder(const std::string& script, const nlohmann::json& definition = nlohmann::json::object());
  // For Worker's settings and its backend's name.
  nlohmann::json settings() const { return {{"backend_dirs", {folder_.path()}}}; }
  std::string name() const { return "own"; }
  void write(const nlohmann::json& definition);
  std::string operator/(const std::string& file) const { return folder_.path() + "/own/" + file; }

 private:
  TemporaryFolder folder_;
};

class Worker {
 public:
  // `variables` are added to the worker's environment, `settings` to its cppworker.json.
  Worker(Autoscaler& autoscaler, const std::string& backend,
         std::map<std::string, std::string> variables = {},
         const nlohmann::json& settings = nlohmann::json::object());
  ~Worker();

  // Starts the supervisor once more, on the same run directory. Its ports are new ones.
  void start_again();

  std::uint16_t port() const { return port_; }
  std::uint16_t session_port() const { return session_port_; }
  std::uint16_t admin_port() const { return admin_port_; }
  std::uint16_t server_port() const { return server_port_; }
  TestProcess& process() { return *process_; }
  const std::string& folder() const { return folder_.path(); }

  nlohmann::json status() { return get(admin_port_, "/status").json(); }
  // The status as soon as `wanted` holds (null: it never did): an answer is with its client an instant before
  // it is in the books.
  template <class Predicate>
  nlohmann::json wait_for_status(Predicate wanted) {
    auto until = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < until) {
      nlohmann::json seen = status();
      if (seen.is_object() && wanted(seen)) return seen;
    }
    return nullptr;
  }
  // The body of the newest POST that the inference server got; health probes come in between.
  std::string last_posted();
  // The value of a series in /metrics, given as it stands there with its labels; -1 when it isn't there.
  double metric(const std::string& series);

  // The stand-in finishes loading only when the gate is opened.
  void open_gate();
  // Every process that carries this worker's run directory in its environment or command line.
  std::vector<pid_t> tree();

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
  std::unique_ptr<TestProcess> process_;
  std::uint16_t port_ = 0, session_port_ = 0, admin_port_ = 0, server_port_ = 0;
};

}  // namespace cppworker::testing
