# perdure_module(NAME DEPS … LIBS … SOURCES … TESTS …): one module of the floors table.
#
#   DEPS     modules of ours that it may use (checked against ARCHITECTURE.md by tools/tidy)
#   LIBS     third-party targets, private to the module
#   SOURCES  its sources; private headers need no mention
#   TESTS    x_test.cpp files; together they become the program perdure_NAME_test
#
# A module is an object library `perdure_NAME`; PerdureLibrary.cmake joins them into what is installed.

# Warnings, language level and sanitizers of everything that is ours; users of the library see none of it.
function(perdure_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
                         $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-field-initializers>
                         # g++ 12 at -O3 sees overlaps in std::string's operator+ that are not there (GCC PR 105651).
                         $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-restrict>
                         $<$<BOOL:${PERDURE_WARNINGS_AS_ERRORS}>:-Werror>)
  if(PERDURE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${PERDURE_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${PERDURE_SANITIZE})
  endif()
endfunction()

function(perdure_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPS;LIBS;SOURCES;TESTS")
  set(target perdure_${name})
  add_library(${target} OBJECT ${arg_SOURCES})
  perdure_compile_options(${target})
  target_compile_options(${target} PRIVATE -ffunction-sections -fdata-sections)  # our programs leave out what they do not call
  set_target_properties(${target} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(${target}
    PUBLIC $<BUILD_INTERFACE:${perdure_SOURCE_DIR}/include> $<BUILD_INTERFACE:${perdure_SOURCE_DIR}/src>)
  target_link_libraries(${target} PUBLIC fmt::fmt Threads::Threads PRIVATE ${arg_LIBS})
  foreach(dep IN LISTS arg_DEPS)
    target_include_directories(${target} PUBLIC
      $<BUILD_INTERFACE:$<TARGET_PROPERTY:perdure_${dep},INTERFACE_INCLUDE_DIRECTORIES>>)
  endforeach()
  set_property(TARGET ${target} PROPERTY PERDURE_DEPS "${arg_DEPS}")

  if(PERDURE_BUILD_TESTS AND arg_TESTS)
    add_executable(${target}_test ${arg_TESTS})
    perdure_compile_options(${target}_test)
    perdure_link_modules(${target}_test ${name})
    target_link_libraries(${target}_test PRIVATE GTest::gmock GTest::gtest_main ${arg_LIBS})
    gtest_discover_tests(${target}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST
                         PROPERTIES TIMEOUT 120)
  endif()
endfunction()

# All modules that `modules` stand on, themselves included, each once.
function(perdure_module_closure out)
  set(todo ${ARGN})
  set(all "")
  while(todo)
    list(POP_FRONT todo module)
    if(NOT module IN_LIST all)
      list(APPEND all ${module})
      get_target_property(deps perdure_${module} PERDURE_DEPS)
      if(deps)
        list(APPEND todo ${deps})
      endif()
    endif()
  endwhile()
  set(${out} ${all} PARENT_SCOPE)
endfunction()

# Links the objects of the named modules, and of all they stand on, into `target` (tests see private headers).
function(perdure_link_modules target)
  perdure_module_closure(modules ${ARGN})
  foreach(module IN LISTS modules)
    target_link_libraries(${target} PRIVATE perdure_${module})
  endforeach()
endfunction()
