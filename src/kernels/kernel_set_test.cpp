#include "kernels/kernel_set.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "kernels/kernel_test_support.h"

namespace mach {
namespace {

using ::testing::HasSubstr;

std::string refusal(CpuFeatures available, std::string_view forced) {
  try {
    select_kernel_set(available, forced);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    return error.what();
  }
  return "accepted";
}

TEST(KernelSets, TheLastIsScalarAndRunsAnywhere) {
  ASSERT_FALSE(kernel_sets().empty());
  EXPECT_EQ(kernel_sets().back()->name, "scalar");
  EXPECT_EQ(select_kernel_set(kNoFeatures).name, "scalar");
}

TEST(KernelSets, TheBestRunnableOneIsChosen) {
  for (const KernelSet* set : kernel_sets()) EXPECT_EQ(&select_kernel_set(set->required), set);
}

TEST(KernelSets, AForcedSetIsTheOneThatRuns) {
  for (const KernelSet* set : testing::runnable_sets()) {
    EXPECT_EQ(&select_kernel_set(probe_cpu_features(), set->name), set);
  }
}

TEST(KernelSets, RefusesWhatItDoesNotHave) {
  EXPECT_THAT(refusal(probe_cpu_features(), "mmx"), HasSubstr("no kernel set 'mmx'"));
  EXPECT_THAT(refusal(probe_cpu_features(), "mmx"), HasSubstr("scalar"));
}

TEST(KernelSets, RefusesAForcedSetThatCannotRunHere) {
  const KernelSet* best = kernel_sets().front();
  if (best->name == "scalar") GTEST_SKIP() << "only the scalar set is compiled in";
  EXPECT_THAT(refusal(kNoFeatures, best->name), HasSubstr(to_string(best->required)));
}

TEST(KernelSets, EverySetHasEveryFormatOfTheCodecTable) {
  for (const KernelSet* set : kernel_sets()) {
    for (const WeightFormat& format : testing::all_formats()) {
      const kernel::FormatKernels* kernels = set->find_format(format);
      ASSERT_NE(kernels, nullptr) << set->name << ' ' << format_name(format);
      EXPECT_NE(kernels->decode, nullptr);
      const bool integer = format.codec == CodecId::kAffine || format.codec == CodecId::kMxFp4 ||
                           format.codec == CodecId::kNvFp4;
      EXPECT_EQ(kernels->int8_rows != nullptr, integer) << set->name << ' ' << format_name(format);
    }
  }
}

}  // namespace
}  // namespace mach
