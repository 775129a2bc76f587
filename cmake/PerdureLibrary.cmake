# What users link: perdure::perdure and its components, made of the modules' objects.
#
# The objects are the same for both linkages (position independent, hidden visibility), so the second linkage costs one
# archive or one link. perdure::NAME is the one that BUILD_SHARED_LIBS asks for.
include(GNUInstallDirs)

if(BUILD_SHARED_LIBS)
  set(perdure_linkage shared)
else()
  set(perdure_linkage static)
endif()
set(perdure_linkages ${perdure_linkage})
if(PERDURE_BOTH_LINKAGES)
  set(perdure_linkages static shared)
endif()

# perdure_library(NAME MODULES … PUBLIC … PRIVATE … INCLUDE … STANDARD cxx_std_NN): perdure::NAME out of whole modules, as the
# targets libperdure_NAME_static and libperdure_NAME_shared (libperdure_… for the library itself). `perdure` in PUBLIC
# or PRIVATE is the library of the same linkage; INCLUDE are further include directories below include/.
function(perdure_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "STANDARD" "MODULES;PUBLIC;PRIVATE;INCLUDE")
  set(stem perdure_${name})
  string(REGEX REPLACE "^perdure_perdure$" "perdure" stem ${stem})
  foreach(linkage IN LISTS perdure_linkages)
    string(TOUPPER ${linkage} type)
    set(target lib${stem}_${linkage})
    add_library(${target} ${type})
    foreach(module IN LISTS arg_MODULES)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:perdure_${module}>)
    endforeach()
    set_target_properties(${target} PROPERTIES
      EXPORT_NAME ${name} OUTPUT_NAME ${stem} LINKER_LANGUAGE CXX
      INSTALL_RPATH "\$ORIGIN"  # components find libperdure beside them, whatever the prefix
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    target_compile_features(${target} PUBLIC ${arg_STANDARD})
    foreach(directory IN LISTS arg_INCLUDE ITEMS "")
      target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${perdure_SOURCE_DIR}/include${directory}>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}${directory}>)
    endforeach()
    foreach(scope IN ITEMS PUBLIC PRIVATE)
      foreach(library IN LISTS arg_${scope})
        if(library STREQUAL "perdure")
          set(library libperdure_${linkage})
        endif()
        target_link_libraries(${target} ${scope} ${library})
      endforeach()
    endforeach()
    target_link_libraries(${target} PRIVATE Threads::Threads)
    if(PERDURE_SANITIZE)
      target_link_options(${target} PUBLIC -fsanitize=${PERDURE_SANITIZE})
    endif()
  endforeach()
  add_library(perdure::${name} ALIAS lib${stem}_${perdure_linkage})
endfunction()

if(PERDURE_PORTABLE)
  set(library_modules base policy os process daemon)  # parts of them: PerdurePortable.cmake
else()
  set(library_modules base config policy wire os loop work process rights net logbook health control daemon app)
endif()
perdure_library(perdure STANDARD cxx_std_20
  MODULES ${library_modules}
  PUBLIC fmt::fmt)

# C++17 is enough for users of compat: perdure itself is linked, its headers and language level are not passed on.
perdure_library(compat STANDARD cxx_std_17
  MODULES compat PRIVATE perdure INCLUDE /perdure/compat)

if(NOT PERDURE_PORTABLE)
  perdure_library(testing STANDARD cxx_std_20
    MODULES testing host PUBLIC perdure)
endif()

# Linked by name, so that what is installed knows nothing of our pkg-config targets.
if(perdure_has_http)
  perdure_library(http STANDARD cxx_std_20
    MODULES http PUBLIC perdure PRIVATE microhttpd)
endif()
