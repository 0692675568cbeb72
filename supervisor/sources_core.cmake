# What the supervisor is made of below its composition root.
set(CPPWORKER_SUPERVISOR_CORE_SOURCES
  benchmark.cpp
  benchmark_key.cpp
  environment.cpp
  exit_status.cpp
  give_up.cpp
  health_probe.cpp
  limit_mark.cpp
  line_splitter.cpp
  log_file.cpp
  log_matcher.cpp
  orphan_reaper.cpp
  process_launcher.cpp
  process_runner.cpp
  process_table.cpp
  process_tree.cpp
  service_state.cpp)
