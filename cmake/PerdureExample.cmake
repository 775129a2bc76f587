# perdure_example(NAME SOURCES … [LIBS …] [TESTS …] [TEST_LIBS …] [MAIN …] [COMPAT] [CXX17]): one program of examples/, with its test.
#
#   NAME       the directory's name without its number by convention ("hello"); the program and its file are called so
#   SOURCES    the program's sources; everything but the file with main() is also linked into the test
#   LIBS       third-party targets of the program, besides perdure::perdure
#   TESTS      x_test.cpp files; they become the program NAME_example_test, which links perdure::testing and GoogleTest and
#              finds the program's path in the macro EXAMPLE_PROGRAM and its directory of files in EXAMPLE_DIR
#   TEST_LIBS  what only the tests link
#   MAIN       the file with main(), `main.cpp` if left out
#   COMPAT     link perdure::compat instead of perdure::perdure
#   CXX17      compile the program (not its test) as C++17
#
# Tests appear in ctest as example.NAME.Suite.Test.
function(perdure_example name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "COMPAT;CXX17" "MAIN" "SOURCES;LIBS;TESTS;TEST_LIBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "perdure_example(${name}): unknown words: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_MAIN)
    set(arg_MAIN main.cpp)
  endif()
  if(NOT arg_MAIN IN_LIST arg_SOURCES)
    message(FATAL_ERROR "perdure_example(${name}): SOURCES does not name ${arg_MAIN}, the file with main()")
  endif()
  if(arg_COMPAT)
    set(library perdure::compat)
  else()
    set(library perdure::perdure)
  endif()

  set(program example_${name})
  add_executable(${program} ${arg_SOURCES})
  add_dependencies(examples ${program})
  perdure_compile_options(${program})
  target_link_libraries(${program} PRIVATE ${library} ${arg_LIBS} Threads::Threads)
  set_target_properties(${program} PROPERTIES OUTPUT_NAME ${name})
  if(arg_CXX17)
    set_target_properties(${program} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON)
    set_property(TARGET ${program} PROPERTY COMPILE_FEATURES cxx_std_17)
  endif()

  if(PERDURE_BUILD_TESTS AND arg_TESTS)
    set(parts ${arg_SOURCES})
    list(REMOVE_ITEM parts ${arg_MAIN})
    set(test ${name}_example_test)
    add_executable(${test} ${arg_TESTS} ${parts})
    perdure_compile_options(${test})
    target_include_directories(${test} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${test} PRIVATE ${library} perdure::testing ${arg_LIBS} ${arg_TEST_LIBS}
                          GTest::gmock GTest::gtest_main Threads::Threads)
    target_compile_definitions(${test} PRIVATE
      EXAMPLE_PROGRAM="$<TARGET_FILE:${program}>" EXAMPLE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
    add_dependencies(${test} ${program})
    gtest_discover_tests(${test} TEST_PREFIX "example.${name}." DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 180)
  endif()
endfunction()
