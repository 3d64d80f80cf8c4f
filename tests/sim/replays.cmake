# Runs seeds twice, each time in a process of its own, and compares the hashes of all that happened.
foreach(seed 3 17 29 186 1885)
  foreach(run first second)
    execute_process(COMMAND ${SIM} --seed ${seed} OUTPUT_VARIABLE ${run}
                    COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  message("${first}")
  if(NOT first STREQUAL second OR NOT first MATCHES "hash [0-9a-f]+")
    message(FATAL_ERROR "seed ${seed} did not replay:\n${first}${second}")
  endif()
endforeach()
