// What the proxy gives up before it reads a stranger's first byte: the rights of root, core dumps, and the
// way back.
#pragma once

#include <string>

#include "common/result.hpp"

namespace cppworker {

// Becomes `user` when it runs as root, stays who it is otherwise; in both cases nothing that it executes can
// gain rights (no_new_privs), it leaves no core file with clients' data, and other processes of its user
// can't read its memory. Call it with everything open that needs rights, and before there is a second thread:
// the kernel keeps credentials by thread.
Result<void> drop_privileges(const std::string& user);

// As many descriptors as the system lets the process have: two for each request, and a soft limit of 1024 is
// what it is started with. Says how many that are.
Result<std::size_t> raise_descriptor_limit();

}  // namespace cppworker
