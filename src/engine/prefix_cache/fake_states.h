// For tests of the prefix cache: states over a cache that remembers its tokens (fake_model.h), and real paged ones.
#pragma once

#include <memory>
#include <vector>

#include "engine/fake_model.h"
#include "model/sequence_state.h"

namespace mach::testing {

class FakeStates {
 public:
  using Tokens = std::vector<TokenId>;

  explicit FakeStates(bool can_truncate) { model_.can_truncate = can_truncate; }

  std::unique_ptr<SequenceState> empty() const { return model_.new_state(); }
  std::unique_ptr<SequenceState> of(const Tokens& tokens) const {
    auto state = empty();
    state->layer<FakeCache>(0).stage(tokens);
    state->commit();
    return state;
  }
  std::shared_ptr<const StateSnapshot> snapshot_of(const Tokens& tokens) const {
    return std::make_shared<const StateSnapshot>(of(tokens)->snapshot());
  }
  static Tokens tokens(SequenceState& state) {
    const auto held = state.layer<FakeCache>(0).tokens();
    return {held.begin(), held.end()};
  }

 private:
  FakeModel model_{100};
};

}  // namespace mach::testing
