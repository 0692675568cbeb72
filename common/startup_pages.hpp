// What only the start of a program touched: relocations, tables of OpenSSL, the reading of settings.
#pragma once

namespace cppworker {

// Unmaps the pages of code and constants of the program and its libraries. They stay in the kernel's cache,
// and what is needed again comes back with a minor fault; but the resident size, which is charged to a
// container with a limit of memory, is then what the program works with. Once, when it is about to serve.
void forget_startup_pages();

}  // namespace cppworker
