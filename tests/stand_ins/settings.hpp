// What a stand-in server is told: who it plays, its port, and the knobs that tests turn (STAND_IN_*).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace cppworker::stand_ins {

enum class Role { kTgi, kSdauto, kOoba, kOobaDownload };

struct Settings {
  Role role = Role::kTgi;
  std::vector<std::string> args;  // what followed the role, as the real program would get it
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::uint16_t streaming_port = 0;  // ooba: of the WebSocket; 0: the same
  std::string model;                 // ooba: the model's folder name
  bool json_log = true;              // tgi: LOG_FORMAT=json|text; without it --json-output decides
  bool api = true;                   // sdauto: --api or --nowebui was given
  bool nowebui = false, api_log = false;
  bool openai = false;  // ooba: --api was given, as the newer versions know it

  std::chrono::milliseconds load{0};  // LOAD_MS: time that loading takes
  std::string ready_gate;             // READY_GATE: FIFO; loading ends when a byte arrives there
  std::chrono::milliseconds download{0}, warm_up{0};  // DOWNLOAD_MS, WARMUP_MS: before and after that
  std::chrono::milliseconds bind_gap{0};              // BIND_GAP_MS: from the ready line to the open port
  int tgi_version = 3;                                // TGI_VERSION: 1 or 3
  std::string crash_phase, crash_kind;    // CRASH_PHASE load|warmup|ready, CRASH_KIND exit1|segv|kill
  std::string hang_phase;                 // HANG_PHASE: the same phases
  std::chrono::milliseconds hang_log{0};  // HANG_LOG_MS: hangs with a line this often; 0: silently
  std::string once_file;                  // ONCE_FILE: crash, hang and fatal line happen only until it exists
  std::string fatal_line;                 // FATAL_LINE: printed while loading; the ready line never comes
  bool ignore_term = false;               // IGNORE_TERM=1
  bool bind_fail = false;                 // BIND_FAIL_AFTER_READY=1
  bool preparing_page = false;            // PREPARING_PAGE=1: 200 with HTML on the port while loading
  bool loading_503 = false;               // LOADING_503=1: 503 with JSON there
  int shards = 0;                         // SHARDS: children that outlive a killed launcher
  int events = 20;                        // EVENTS: tokens of each answer, events of each stream
  std::chrono::milliseconds event_interval{10};  // EVENT_INTERVAL_MS: between the events of a stream
  std::chrono::milliseconds answer{5};           // ANSWER_MS: time that an answer takes
  std::chrono::milliseconds keep_alive{15000};   // KEEP_ALIVE_MS: silence before a stream's comment
  int permits = 128;                             // PERMITS: requests at once before 429
};

// From the program's arguments and the environment. Throws std::runtime_error on what it doesn't know.
Settings read_settings(int argc, char** argv);

}  // namespace cppworker::stand_ins
