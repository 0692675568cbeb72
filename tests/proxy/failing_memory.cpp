#include "tests/proxy/failing_memory.hpp"

#include <cstdlib>
#include <new>

namespace cppworker {
namespace {

thread_local long until_failure = 0;
thread_local std::size_t counted_from = 0;
thread_local bool failed = false;

}  // namespace

void fail_allocation(long nth, std::size_t at_least) {
  until_failure = nth;
  counted_from = at_least;
  failed = false;
}

bool allocation_failed() {
  return failed;
}

}  // namespace cppworker

void* operator new(std::size_t size) {
  using namespace cppworker;
  if (until_failure > 0 && size >= counted_from && --until_failure == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  void* made = std::malloc(size > 0 ? size : 1);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}

// That nobody mixes ours with the sanitizer's: std::stable_sort takes its buffer here.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size > 0 ? size : 1);
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
