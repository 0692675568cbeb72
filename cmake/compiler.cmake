# Flags of every target, the sanitizer builds, and the two helpers that the folders use.

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# Optimised lightly: the integration tests run whole process trees, which an -O0 sanitizer build makes crawl.
set(CMAKE_CXX_FLAGS_SANITIZED "-O1 -g -fno-omit-frame-pointer")

add_library(cppworker_flags INTERFACE)
# g++ 12 takes the frame allocator of Boost.Asio's coroutines for a mismatch of new and delete (GCC bug 103993).
# -pthread everywhere: some libraries ask for it, and a precompiled header made without it isn't used with it.
target_compile_options(cppworker_flags INTERFACE -Wall -Wextra -Werror -Wno-mismatched-new-delete -pthread)
target_include_directories(cppworker_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(cppworker_flags INTERFACE CPPWORKER_VERSION="${PROJECT_VERSION}")

set(CPPWORKER_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize takes them")
if(CPPWORKER_SANITIZE)
  target_compile_options(cppworker_flags INTERFACE -fsanitize=${CPPWORKER_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(cppworker_flags INTERFACE -fsanitize=${CPPWORKER_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # Before clang 17 it puts data before functions in a form that the parts of a coroutine can't be assembled with.
    target_compile_options(cppworker_flags INTERFACE -fno-sanitize=function)
  endif()
  if(CPPWORKER_SANITIZE MATCHES thread)
    # g++ 12 warns of every atomic_thread_fence inside Boost.Asio, which TSan doesn't model.
    target_compile_options(cppworker_flags INTERFACE -Wno-tsan)
  endif()
else()
  # What a network-facing program of a distribution is built with.
  target_compile_options(cppworker_flags INTERFACE -fstack-protector-strong -fstack-clash-protection)
  # Not in the tests' own sources, which aren't optimised (cppworker_fast_to_compile).
  target_compile_definitions(cppworker_flags INTERFACE
    $<$<AND:$<CONFIG:Release>,$<NOT:$<BOOL:$<TARGET_PROPERTY:CPPWORKER_FAST_TO_COMPILE>>>>:_FORTIFY_SOURCE=2>)
  target_link_options(cppworker_flags INTERFACE -Wl,-z,relro,-z,now)
endif()

# For code that is compiled more often than it runs, tests above all: half the time of a release build goes without
# -O2, and of a sanitizer build without -O1 and debug information (names of functions are in a trace all the same).
function(cppworker_fast_to_compile name)
  set_target_properties(${name} PROPERTIES CPPWORKER_FAST_TO_COMPILE ON)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O0> "$<$<CONFIG:Sanitized>:-O0;-g0>")
endfunction()

# A GoogleTest program from the given sources. Its working directory is a folder of the build tree; tests find
# the source tree through CPPWORKER_SOURCE_DIR and the programs through CPPWORKER_BIN_DIR.
function(cppworker_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;NEEDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY CPPWORKER_TEST_SOURCES ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  cppworker_fast_to_compile(${name})
  target_precompile_headers(${name} REUSE_FROM cppworker_test_headers)
  target_compile_definitions(${name} PRIVATE CPPWORKER_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             CPPWORKER_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  if(ARG_NEEDS)
    add_dependencies(${name} ${ARG_NEEDS})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${ARG_TIMEOUT} DISCOVERY_TIMEOUT 60)
endfunction()
