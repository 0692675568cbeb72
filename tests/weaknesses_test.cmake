# Shows that weaknesses.cmake finds what it is for, and nothing else.
#
# cmake -DSCRIPT=<weaknesses.cmake> -DFOLDER=<scratch folder> -P weaknesses_test.cmake
cmake_minimum_required(VERSION 3.25)

function(expect verdict row)
  file(REMOVE_RECURSE "${FOLDER}")
  file(WRITE "${FOLDER}/proxy/CMakeLists.txt" "cppworker_test(proxy_test\n  SOURCES a_test.cpp)\n")
  file(WRITE "${FOLDER}/proxy/a_test.cpp"
    "TEST(Plain, Works) {}\nTEST_F(Fixed, Works) {}\nTEST_P(Many,\n       Works) {}\n// TEST(Plain, Sleeps) {}\n")
  file(WRITE "${FOLDER}/common/CMakeLists.txt" "cppworker_test(common_test SOURCES b_test.cpp)\n")
  file(WRITE "${FOLDER}/common/b_test.cpp" "TEST(Other, Works) {}\n")
  file(WRITE "${FOLDER}/page.md"
    "# Title\n\n| weakness | ours | tests |\n|---|---|---|\n| a | b | `common_test.Other.Works` |\n${row}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DTESTS=${FOLDER} -DPAGE=${FOLDER}/page.md -P ${SCRIPT}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE said)
  if(verdict STREQUAL "good" AND NOT status EQUAL 0)
    message(SEND_ERROR "refused: ${row}\n${said}")
  elseif(verdict STREQUAL "bad" AND (status EQUAL 0 OR NOT said MATCHES "isn't true"))
    message(SEND_ERROR "not found: ${row}\n${said}")
  endif()
endfunction()

foreach(test proxy_test.Plain.Works proxy_test.Fixed.Works proxy_test.All/Many.Works/One proxy_test.Many.Works/One)
  expect(good "| a | b | `${test}` |")
endforeach()
expect(good "| a | `b`, as `c` | `proxy_test.Plain.Works` `common_test.Other.Works` |")
expect(good "| a | not applicable: there is no such thing | |")

foreach(test proxy_test.Plain.Fails proxy_test.Plain.Sleeps proxy_test.Plain.Work proxy_test.Other.Works
             common_test.Plain.Works other_test.Plain.Works proxy_test.Plain "proxy_test.Plain. Works")
  expect(bad "| a | b | `${test}` |")
  expect(bad "| a | b | `proxy_test.Plain.Works` `${test}` |")
endforeach()
expect(bad "| a | b | |")
expect(bad "| a | b | Plain.Works |")
file(REMOVE_RECURSE "${FOLDER}")
