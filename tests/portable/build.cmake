# Configures and builds SOURCE as a portable part in WORK, with its tests. What is built already is built no second time.
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}" -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}"
                        "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" -DPERDURE_PORTABLE=ON -DPERDURE_WARNINGS_AS_ERRORS=ON
                        -DPERDURE_BUILD_TESTS=ON
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}" --parallel 2 COMMAND_ERROR_IS_FATAL ANY)
