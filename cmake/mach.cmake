# The few rules by which every folder of src/ becomes a library, its tests a program, and each fuzz target a program.

find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
include(GoogleTest)

add_library(mach_flags INTERFACE)
target_compile_features(mach_flags INTERFACE cxx_std_20)
target_include_directories(mach_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_options(mach_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
  -Wno-missing-field-initializers $<$<BOOL:${MACH_WERROR}>:-Werror>
  # GCC 12 warns falsely about `"literal" + std::string` (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Results must not depend on whether the compiler fuses a*b+c: what is fused says so (std::fma, intrinsics).
  -ffp-contract=off)
target_link_libraries(mach_flags INTERFACE Threads::Threads)
if(MACH_SANITIZE)
  # -g1 is what a report needs: file and line.
  target_compile_options(mach_flags INTERFACE -fsanitize=${MACH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -O1 -g1)
  target_link_options(mach_flags INTERFACE -fsanitize=${MACH_SANITIZE})
endif()

# mach_library(<folder> SOURCES a.cpp ... [TESTS a_test.cpp ...] [LINK mach_base PkgConfig::x ...] [TEST_LINK ...])
# defines library mach_<folder> and, when there are tests, program mach_<folder>_tests.
function(mach_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;TESTS;LINK;TEST_LINK" ${ARGN})
  add_library(mach_${folder} STATIC ${ARG_SOURCES})
  target_link_libraries(mach_${folder} PUBLIC mach_flags ${ARG_LINK})
  if(ARG_TESTS AND MACH_BUILD_TESTS)
    mach_test_program(mach_${folder}_tests SOURCES ${ARG_TESTS} LINK mach_${folder} ${ARG_TEST_LINK})
  endif()
endfunction()

# mach_test_program(<name> SOURCES ... LINK ... [LABELS long ...])
function(mach_test_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock_main GTest::gtest)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  # Tests are mostly tables: optimising them costs minutes of building and saves milliseconds of running.
  target_compile_options(${name} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
  target_compile_definitions(${name} PRIVATE MACH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 300 LABELS "${ARG_LABELS}")
endfunction()

# mach_fuzz_target(<name> <source> LINK ...): with the fuzz preset a libFuzzer program; otherwise the same target with a
# plain driver that replays fuzz/corpus/<name>, run as a test, so that it cannot rot.
function(mach_fuzz_target name source)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINK})
  if(MACH_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay_main.cpp)
    if(MACH_BUILD_TESTS)
      add_test(NAME fuzz_replay_${name} COMMAND fuzz_${name} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
    endif()
  endif()
endfunction()
