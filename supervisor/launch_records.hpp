// What the supervisor has launched, on disk: so that one that starts ends what one that was killed left.
//
// A killed supervisor's children get SIGKILL from the kernel; their descendants don't, and hold the GPU. The
// file has the tree's mark before anything of it can exist. Threads: the supervisor's loop. A file that can't
// be written costs a warning and this protection, not the launch.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/async.hpp"
#include "supervisor/post_mortem.hpp"
#include "supervisor/process_table.hpp"
#include "supervisor/process_tree.hpp"

namespace cppworker {

struct LaunchRecord {
  std::string service{};  // "model"
  std::string mark{};     // value of CPPWORKER_TREE
  std::string cgroup{};   // folder; empty: none
  pid_t pid = -1;         // -1: not launched yet when it was written
  std::uint64_t start_time = 0;
};

class LaunchRecords {
 public:
  // Reads what is there; of another boot, nothing is left. A file that makes no sense is put aside.
  explicit LaunchRecords(std::string path);

  const std::vector<LaunchRecord>& all() const { return records_; }

  // There was a file, and it doesn't say what was launched: only marks do.
  bool lost() const { return lost_; }
  // A mark for a tree (environment.hpp) that begins as all of this file's folder do.
  std::string make_mark() const;
  // Whether the process carries such a mark.
  bool has_marked(const ProcessInfo& process) const;

  void begin(LaunchRecord record);  // before the launch
  void launched(const std::string& mark, pid_t pid);
  void end(const std::string& mark);  // nothing of it is left

 private:
  void write();

  std::string path_, boot_;
  std::string folder_digits_;  // what all marks begin with; empty: the folder isn't there
  std::vector<LaunchRecord> records_;
  bool lost_ = false;
};

// For a tree that is recorded there; where nothing is, one of no folder.
std::string make_mark(const LaunchRecords* records);

// Ends the trees of all records, which are a dead supervisor's. Returns who survived; a record of which
// nothing did is gone. Fails as sweep_tree does: what there still is then isn't known.
Awaitable<Result<std::vector<ProcessInfo>>> end_left_behind(LaunchRecords& records,
                                                            std::chrono::milliseconds limit);

// What is to be known about them, where some survived: nobody starts on top of them.
PostMortem post_mortem_of_left_behind(const std::vector<ProcessInfo>& survivors);

// For what a program that ran beside the service leaves behind; it is sent SIGKILL.
inline constexpr std::chrono::seconds kRemainsLimit{5};

// Ends the remains of a program that ran beside the service (a hook, a health command), and with them its
// record, where there are records. Returns as sweep_tree does, whose place `sweep` takes in tests; the log
// says as `name` what can't be ended.
Awaitable<Result<std::vector<ProcessInfo>>> end_remains(std::string name, ProcessTree tree,
                                                        LaunchRecords* records, SweepTree sweep = sweep_tree);

}  // namespace cppworker
