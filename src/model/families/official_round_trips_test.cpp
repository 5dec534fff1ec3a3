// DeepSeek's official quantisation steps, against an independent fp64 implementation of them over the reference forward
// pass (specification: DeepSeek V4, quantisation-aware training steps), on the trained checkpoint with FP8 and FP4 weights.
#include <gtest/gtest.h>

#include "support/golden.h"
#include "support/shared_dir.h"

namespace mach::testing {
namespace {

class OfficialRoundTrips : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto shared = shared_dir();
    if (!shared) GTEST_SKIP() << kNoSharedDir;
    folder_ = *shared / "models/mini-deepseek_v4-fp8-fp4";
  }

  LoadedModel open() const {
    ModelOptions options;
    options.numerics = Numerics::kExact;
    options.official_round_trips = true;
    return LoadedModel(Model::open(folder_, options), 1);
  }

  TokenIds document() const {
    // The first tokens of doc_ids.
    return {4088, 410, 423, 42,  2080, 583, 11,   1612, 365, 287,  1616, 308,
            220,  15,  198, 198, 262,  388, 1074, 3037, 362, 4053, 659,  198};
  }

  std::filesystem::path folder_;
};

TEST_F(OfficialRoundTrips, RoundWhereTheOfficialImplementationRounds) {
  struct Expected {
    uint32_t position;
    size_t id;    // of the largest logit
    float logit;  // without the round trips it differs by 8e-03 or more
  };
  constexpr Expected kExpected[] = {
      {0, 198, 13.951593F},
      {5, 365, 10.229196F},
      {11, 350, 8.931700F},
      {17, 427, 7.974119F},
  };
  LoadedModel loaded = open();
  const auto logits = logits_of(loaded, document());
  for (const Expected& expected : kExpected) {
    // fp32 against fp64, as for the golden logits of this checkpoint.
    EXPECT_NEAR(logits[expected.position * loaded.vocab_size() + expected.id], expected.logit, 1e-4)
        << "position " << expected.position;
  }
}

TEST_F(OfficialRoundTrips, DoNotDependOnChunks) {
  LoadedModel loaded = open();
  EXPECT_EQ(logits_of(loaded, document()), logits_of(loaded, document(), {5, 1, 7}));
}

}  // namespace
}  // namespace mach::testing
