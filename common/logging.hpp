// The program's own log: one line per event on stderr, UTC with milliseconds. Nobody waits for whoever reads
// it (log_writer.hpp).
//
// Secrets (MASTER_TOKEN, signatures, prompts, environments) never reach it: callers log names, numbers and
// reasons. Text that others wrote (log lines, paths, header values) goes through `printable`.
#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

namespace cppworker {

// Called once, first thing in main, by a program that ignores SIGPIPE. `program` tells the processes of one
// worker apart in a shared stream.
void start_logging(std::string_view program, std::string_view level);

// At most `limit` bytes of the text, each control character and each byte of broken UTF-8 replaced by '?',
// cut between two characters: a line of a log stays one line, nobody's bytes move a terminal's cursor, and
// the result is always valid UTF-8.
std::string printable(std::string_view text, std::size_t limit = 300);

}  // namespace cppworker
