// EXPECT_MACH_ERROR(statement, ErrorCode::kX, matcher): the statement throws mach::Error of that code, and its text
// matches (a gmock string matcher, usually HasSubstr or AllOf of them).
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "base/function_ref.h"

namespace mach::testing {

// A function, so that each use of the macro costs compiler and analyser one call and no try block.
inline void expect_error(FunctionRef<void()> statement, ErrorCode code,
                         const ::testing::Matcher<std::string>& text, const char* source, const char* file,
                         int line) {
  const ::testing::ScopedTrace trace(file, line, source);
  try {
    statement();
  } catch (const Error& error) {
    EXPECT_EQ(error_row(error.code()).name, error_row(code).name);
    EXPECT_THAT(std::string(error.what()), text);
    return;
  }
  ADD_FAILURE() << "no mach::Error was thrown";
}

}  // namespace mach::testing

#define EXPECT_MACH_ERROR(statement, expected_code, matcher) \
  ::mach::testing::expect_error([&] { statement; }, expected_code, matcher, #statement, __FILE__, __LINE__)
