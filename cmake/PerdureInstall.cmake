# What `cmake --install` puts where. Included only where perdure is the top-level project (PERDURE_INSTALL).
#
# Components: perdure_development (headers, CMake and pkg-config files), perdure_static, perdure_shared, perdure_programs. Everything
# is relocatable: a tree installed under one prefix works under another one as well.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/perdure)
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(left_out "")
if(NOT perdure_has_http)
  set(left_out REGEX "/(http|prometheus)\\.hpp$" EXCLUDE)
endif()
install(DIRECTORY "${perdure_SOURCE_DIR}/include/perdure" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT perdure_development FILES_MATCHING PATTERN "*.hpp" ${left_out})
if(PERDURE_INSTALL_DAEMON_HPP)
  install(FILES "${perdure_SOURCE_DIR}/include/perdure/compat/daemon.hpp" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          COMPONENT perdure_development)
endif()

# The command; beside it, out of the way of everybody's PATH, what it is made of.
if(PERDURE_BUILD_PROGRAMS)
  install(TARGETS perdure RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT perdure_programs)
  install(TARGETS perdure-manager perdure-keeper perdure-executor
          RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/perdure COMPONENT perdure_programs)
endif()

# One export set per linkage, so that both can stand in one prefix; perdureConfig.cmake picks.
foreach(linkage IN LISTS perdure_linkages)
  set(libraries libperdure_${linkage} libperdure_compat_${linkage} libperdure_testing_${linkage})
  if(perdure_has_http)
    list(APPEND libraries libperdure_http_${linkage})
  endif()
  install(TARGETS ${libraries}
    EXPORT perdure-${linkage}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT perdure_static
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT perdure_shared NAMELINK_COMPONENT perdure_shared)
  install(EXPORT perdure-${linkage} NAMESPACE perdure:: DESTINATION ${cmake_dir}
          FILE perdure-${linkage}-targets.cmake COMPONENT perdure_${linkage})
endforeach()

configure_package_config_file(cmake/perdureConfig.cmake.in "${PROJECT_BINARY_DIR}/perdureConfig.cmake"
  INSTALL_DESTINATION ${cmake_dir} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# In 0.x any minor version may break: 0.1 is not an answer to a request for 0.2, nor the other way round.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/perdureConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/perdureConfig.cmake" "${PROJECT_BINARY_DIR}/perdureConfigVersion.cmake"
        DESTINATION ${cmake_dir} COMPONENT perdure_development)

# The .pc files find their prefix from where they stand, unless an absolute directory was asked for.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH to_prefix "/${pc_dir}" "/")
  string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
  set(pc_prefix "\${pcfiledir}/${to_prefix}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(packages perdure perdure-compat)
if(perdure_has_http)
  list(APPEND packages perdure-http)
endif()
foreach(package IN LISTS packages)
  configure_file(cmake/${package}.pc.in "${PROJECT_BINARY_DIR}/${package}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${package}.pc" DESTINATION ${pc_dir} COMPONENT perdure_development)
endforeach()
