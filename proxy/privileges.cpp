#include "proxy/privileges.hpp"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cppworker {
namespace {

Error failure(const std::string& what) {
  return fail("cannot " + what + ": " + std::strerror(errno));
}

Result<void> become(const std::string& user) {
  errno = 0;
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return fail("cannot run the proxy as " + user +
                ": there is no such user; name another one in /proxy/user of cppworker.json");
  if (entry->pw_uid == 0) return {};
  if (::setgroups(0, nullptr) != 0) return failure("leave root's groups");
  if (::setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0) return failure("become " + user);
  if (::setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) return failure("become " + user);
  if (::setuid(0) == 0) return fail("cannot give up root for good: it can be had again");
  return {};
}

}  // namespace

Result<void> drop_privileges(const std::string& user) {
  const pid_t supervisor = ::getppid();
  if (::geteuid() == 0)
    if (auto became = become(user); !became) return became.error();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failure("set no_new_privs");
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return failure("turn core dumps off");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failure("turn core dumps off");
  // The kernel forgets it with each change of credentials.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return failure("set the parent-death signal");
  if (::getppid() != supervisor) return fail("cannot go on: the supervisor is gone");
  return {};
}

Result<std::size_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return failure("read the limit of descriptors");
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return failure("raise the limit of descriptors");
  }
  return static_cast<std::size_t>(limit.rlim_cur);
}

}  // namespace cppworker
