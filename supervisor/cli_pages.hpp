// What a worker answers to the commands: pages for the socket of cli_socket.hpp alone.
//
// /status as on the admin port; /why: what keeps it from serving, how its processes failed last, what happens
// next and when; /logs: the inference server's last lines, prompts included where it prints them, with the
// number of all that came before, so that whoever asks again knows what is new.
#pragma once

#include "supervisor/admin_server.hpp"
#include "supervisor/status_pages.hpp"

namespace cppworker {

AdminPages cli_pages(const WorkerView& view);

// What a service does next by itself: "launch 3, in 12 s". Pure.
std::string next_step(const Service& service, TimePoint now);

}  // namespace cppworker
