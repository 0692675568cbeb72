# Finds #include lines that go against the arrows of the house, which no compiler sees: every target searches the
# root of the source tree.
#
#   common <- {launchers, metrics} <- {supervisor, proxy}       siblings never include one another
#
# cmake -DROOT=<source tree> -P include_arrows.cmake; fails with a list of the lines.
cmake_minimum_required(VERSION 3.25)

set(may_include_common common)
set(may_include_launchers common launchers)
set(may_include_metrics common metrics)
set(may_include_supervisor common launchers metrics supervisor)
set(may_include_proxy common launchers metrics proxy)
# Headers of ours stand in these; whatever is in no folder is the system's.
set(folders common launchers metrics supervisor proxy tests)

set(wrong "")
set(seen 0)
foreach(folder common launchers metrics supervisor proxy)
  file(GLOB_RECURSE sources "${ROOT}/${folder}/*.[chi]pp" "${ROOT}/${folder}/*.h" "${ROOT}/${folder}/*.inc")
  foreach(source ${sources})
    math(EXPR seen "${seen} + 1")
    file(RELATIVE_PATH name "${ROOT}" "${source}")
    file(STRINGS "${source}" lines REGEX "^[ \t]*#[ \t]*include")
    foreach(line IN LISTS lines)
      if(line MATCHES "[\"</]\\.\\.?/")
        list(APPEND wrong "${name}: ${line}\n    (a path begins at the root of the source tree)")
      elseif(line MATCHES "include[ \t]*[\"<]([a-z_]+)/" AND CMAKE_MATCH_1 IN_LIST folders
             AND NOT CMAKE_MATCH_1 IN_LIST may_include_${folder})
        list(APPEND wrong "${name}: ${line}")
      endif()
    endforeach()
  endforeach()
endforeach()

if(seen EQUAL 0)
  message(FATAL_ERROR "no sources in ${ROOT}")
endif()
if(wrong)
  list(JOIN wrong "\n  " wrong)
  message(FATAL_ERROR "Includes against the arrows (README, The folders):\n  ${wrong}")
endif()
message(STATUS "${seen} files keep to the arrows")
