// EXPECT_MACH_ERROR(statement, ErrorCode::kX, matcher): the statement throws mach::Error of that code, and its text
// matches (a gmock string matcher, usually HasSubstr or AllOf of them).
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#define EXPECT_MACH_ERROR(statement, expected_code, matcher)                                   \
  do {                                                                                         \
    bool thrown_ = false;                                                                      \
    try {                                                                                      \
      statement;                                                                               \
    } catch (const ::mach::Error& error_) {                                                    \
      thrown_ = true;                                                                          \
      EXPECT_EQ(::mach::error_row(error_.code()).name, ::mach::error_row(expected_code).name); \
      EXPECT_THAT(std::string(error_.what()), matcher);                                        \
    }                                                                                          \
    EXPECT_TRUE(thrown_) << "expected an Error from: " #statement;                             \
  } while (false)
