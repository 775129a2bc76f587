# Configures PROJECT afresh in WORK with the options in OPTIONS, builds it, and runs what it made.
file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${PROJECT}" -B "${WORK}" -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}"
                        "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" ${OPTIONS}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}" --parallel 2 COMMAND_ERROR_IS_FATAL ANY)
if(EXISTS "${WORK}/consumer_check")
  execute_process(COMMAND "${WORK}/consumer_check" "${WORK}/consumer" COMMAND_ERROR_IS_FATAL ANY)
else()
  execute_process(COMMAND "${WORK}/consumer" COMMAND_ERROR_IS_FATAL ANY)
endif()
