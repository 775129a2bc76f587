# Installs the libraries that BUILD holds below STAGE: both linkages together in both/, each alone in static/ and shared/.
file(REMOVE_RECURSE "${STAGE}")
function(install_to directory)
  foreach(component IN LISTS ARGN)
    execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${STAGE}/${directory}" --component ${component}
                    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endfunction()
install_to(both perdure_development perdure_static perdure_shared)
install_to(static perdure_development perdure_static)
install_to(shared perdure_development perdure_shared)
