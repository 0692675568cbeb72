#include "common/startup_pages.hpp"

#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

namespace cppworker {
namespace {

// KiB of files that are mapped and resident: code and constants, most of all.
std::size_t resident_of_files() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == "RssFile:" && status >> kib) return kib;
  }
  throw std::runtime_error("/proc/self/status has no RssFile");
}

// Reads a byte of each page of the program's own code and constants. Says how many KiB those are.
std::size_t touch_program() {
  struct Touched {
    std::size_t bytes = 0;
    unsigned sum = 0;
  } touched;
  ::dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) {
        auto& touched = *static_cast<Touched*>(data);
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const auto& segment = object->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
          const auto* begin =
              reinterpret_cast<const volatile unsigned char*>(object->dlpi_addr + segment.p_vaddr);
          for (std::size_t at = 0; at < segment.p_memsz; at += page) touched.sum += begin[at];
          touched.bytes += segment.p_memsz;
        }
        return 1;  // the first object is the program
      },
      &touched);
  EXPECT_GT(touched.sum, 0u);
  return touched.bytes / 1024;
}

int changed_since_the_start = 1;
const char* const volatile constant = "a constant";

TEST(StartupPagesTest, WhatOnlyTheStartTouchedIsNotResidentAnyMore) {
  const std::size_t program = touch_program();
  const std::size_t before = resident_of_files();
  forget_startup_pages();
  EXPECT_LT(resident_of_files(), before - program / 2);
}

TEST(StartupPagesTest, NothingIsLost) {
  changed_since_the_start = 2;
  forget_startup_pages();
  EXPECT_EQ(changed_since_the_start, 2);
  EXPECT_STREQ(constant, "a constant");
  touch_program();
}

}  // namespace
}  // namespace cppworker
