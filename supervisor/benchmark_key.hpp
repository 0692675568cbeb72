// What a remembered benchmark belongs to: everything that decides the speed, as far as it can be seen from
// outside.
//
// The benchmark itself (payload, runs, the formula of its work units), the launch script's content, the
// variables that the script is started with, and the GPUs with their driver. Variables: those that the
// definition names in launch.variables; without that list, all but the ones known to say nothing about speed
// (names of the instance, addresses, ports, credentials, the shell's own). TGI takes every flag from the
// environment, so a list of ours would always lack one; a needless measurement costs minutes once, a figure
// of another model misleads the autoscaler for ever.
#pragma once

#include <string>

#include "launchers/backend_definition.hpp"
#include "supervisor/environment.hpp"

namespace cppworker {

// Where NVIDIA's driver tells of itself. Absent without a GPU: then the machine isn't told from another.
inline constexpr const char* kNvidiaFolder = "/proc/driver/nvidia";

// "benchmark … script … variables … gpus …": a digest for each, so that two keys show in which they differ.
// Values of variables, which may be anything, are in it only so. The backend has a benchmark.
std::string benchmark_key(const BackendDefinition& backend, const Environment& environment,
                          const std::string& nvidia_folder = kNvidiaFolder);

// Whether a variable of this name is taken for deciding the speed.
bool decides_speed(std::string_view name, const BackendDefinition& backend);

}  // namespace cppworker
