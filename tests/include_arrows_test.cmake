# Shows that include_arrows.cmake finds what it is for, and nothing else.
#
# cmake -DSCRIPT=<include_arrows.cmake> -DFOLDER=<scratch folder> -P include_arrows_test.cmake
cmake_minimum_required(VERSION 3.25)

function(expect verdict file line)
  file(REMOVE_RECURSE "${FOLDER}")
  file(WRITE "${FOLDER}/common/other.hpp" "#include <string>\n")
  file(WRITE "${FOLDER}/${file}" "// A comment.\n${line}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${FOLDER} -P ${SCRIPT}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE said)
  if(verdict STREQUAL "good" AND NOT status EQUAL 0)
    message(SEND_ERROR "refused: ${line} in ${file}\n${said}")
  elseif(verdict STREQUAL "bad" AND (status EQUAL 0 OR NOT said MATCHES "against the arrows.*${file}"))
    message(SEND_ERROR "not found: ${line} in ${file}\n${said}")
  endif()
endfunction()

foreach(arrow common>launchers common>metrics common>supervisor common>proxy common>tests launchers>metrics
              launchers>supervisor launchers>proxy metrics>launchers metrics>supervisor metrics>proxy
              supervisor>proxy supervisor>tests proxy>supervisor)
  string(REPLACE ">" ";" ends ${arrow})
  list(GET ends 0 from)
  list(GET ends 1 to)
  expect(bad ${from}/a.cpp "#include \"${to}/b.hpp\"")
  expect(bad ${from}/a.hpp "  #  include <${to}/b.hpp>")
endforeach()
expect(bad common/deep/er/a.cpp "#include \"proxy/b.hpp\"")
expect(bad proxy/a.cpp "#include \"../supervisor/b.hpp\"")
expect(bad proxy/a.cpp "#include \"./../supervisor/b.hpp\"")
expect(bad proxy/a.cpp "#include \"common/../supervisor/b.hpp\"")

foreach(arrow common>common launchers>common metrics>common supervisor>common supervisor>launchers
              supervisor>metrics supervisor>supervisor proxy>common proxy>launchers proxy>metrics proxy>proxy)
  string(REPLACE ">" ";" ends ${arrow})
  list(GET ends 0 from)
  list(GET ends 1 to)
  expect(good ${from}/a.cpp "#include \"${to}/b.hpp\"")
endforeach()
expect(good common/a.cpp "#include <prometheus/proxy/b.hpp>")
expect(good common/a.cpp "#include <sys/socket.h>")
expect(good common/a.cpp "// #include \"proxy/b.hpp\"")
expect(good common/a.cpp "auto text = \"proxy/b.hpp\";")
expect(good tests/a.cpp "#include \"proxy/b.hpp\"")
file(REMOVE_RECURSE "${FOLDER}")
