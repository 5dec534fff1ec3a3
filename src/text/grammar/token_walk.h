// Tries many tokens against one configuration. Tokens come in the order of their bytes, so what a token shares with the one
// before is not read again; the stack nodes made on the way are forgotten on the way back.
// Single owner; keeps its buffers for the next walk.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/grammar/configuration.h"
#include "text/grammar/token_vocabulary.h"

namespace mach::grammar {

class TokenWalk {
 public:
  TokenWalk(const Automaton& automaton, StackPool& pool, bool open_counts = false)
      : automaton_(automaton), pool_(pool), open_counts_(open_counts) {}

  // The first byte is read by the edges of `from` itself: what its calls and returns lead to are configurations of their
  // own. To be called before the first token of a walk; finish() after the last.
  void begin(const Configuration& from);
  void finish() { pool_.truncate(pool_size_); }

  // common_prefix: with the token tried before. True if all its bytes can be read.
  bool read(std::string_view token, size_t common_prefix);

  // Of the token just read. After it:
  const ConfigurationSet& end() const { return levels_[depth_].set; }
  // Whether a return from kUnknownStack came before its last byte.
  bool escaped_inside() const { return escaped_inside_; }

 private:
  struct Level {
    ConfigurationSet set;
    size_t pool_size = 0;
    bool escaped = false;  // here or before
  };

  const Automaton& automaton_;
  StackPool& pool_;
  bool open_counts_;
  std::vector<Level> levels_;  // [i]: after i bytes of the token
  size_t depth_ = 0;           // bytes read of the last token
  bool escaped_inside_ = false;
  size_t pool_size_ = 0;
};

inline void TokenWalk::begin(const Configuration& from) {
  if (levels_.empty()) levels_.resize(8);
  pool_size_ = pool_.size();
  Level& first = levels_[0];
  first.set.clear();
  first.set.items.push_back(from);
  first.pool_size = pool_size_;
  first.escaped = false;
  depth_ = 0;
}

inline bool TokenWalk::read(std::string_view token, size_t common_prefix) {
  if (common_prefix > depth_) {  // the last token failed within what this one shares with it
    escaped_inside_ = levels_[depth_].escaped;
    return false;
  }
  depth_ = common_prefix;
  pool_.truncate(levels_[depth_].pool_size);
  const Stepper stepper(automaton_, pool_, open_counts_);
  if (levels_.size() <= token.size()) levels_.resize(token.size() + 1);
  while (depth_ < token.size()) {
    Level& level = levels_[depth_];
    Level& next = levels_[depth_ + 1];
    next.set.clear();
    stepper.byte(level.set.items, static_cast<uint8_t>(token[depth_]), next.set);
    if (next.set.dead()) {
      escaped_inside_ = level.escaped;
      return false;
    }
    next.pool_size = pool_.size();
    next.escaped = level.escaped || next.set.escaped;
    ++depth_;
  }
  escaped_inside_ = levels_[depth_ - 1].escaped;
  return true;
}

}  // namespace mach::grammar
