#include "common/startup_pages.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace cppworker {
namespace {

int forget_object(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    // What can be written holds what can't be read again from the file.
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
    std::uintptr_t end = (begin + segment.p_memsz) & ~(page - 1);
    begin = (begin + page - 1) & ~(page - 1);
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void forget_startup_pages() {
  ::dl_iterate_phdr(forget_object, nullptr);
}

}  // namespace cppworker
