// Where a parse stands: a set of configurations (state, iterations of its counted rule, stack). Stacks are persistent and
// share what they have in common: a stack is the id of a node in a StackPool, whose equal nodes are one node. So a set is a
// few words, copying it is cheap, and two ways that led to the same place become one.
// Single owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/grammar/automaton.h"

namespace mach::grammar {

// A stack that is empty: returning from it ends the grammar's text.
inline constexpr uint32_t kBottom = 0;
// A stack nobody knows, for masks that hold whatever the stack is: returning from it is an escape.
inline constexpr uint32_t kUnknownStack = 1;

class StackPool {
 public:
  struct Node {
    uint32_t state = kDead, count = 0, parent = kBottom;  // to return to
    uint32_t depth = 0;
    uint32_t next_in_bucket = 0;
  };

  StackPool();
  uint32_t push(uint32_t state, uint32_t count, uint32_t parent);
  const Node& operator[](uint32_t stack) const { return nodes_[stack]; }
  uint32_t depth(uint32_t stack) const { return nodes_[stack].depth; }
  uint32_t deepest() const { return deepest_; }  // since reset_deepest()
  void reset_deepest() { deepest_ = 0; }
  size_t size() const { return nodes_.size(); }
  // Forgets all nodes from `size` on.
  void truncate(size_t size);
  size_t memory_bytes() const { return nodes_.size() * sizeof(Node) + buckets_.size() * sizeof(uint32_t); }

 private:
  size_t bucket(uint32_t state, uint32_t count, uint32_t parent) const;
  void rehash();

  std::vector<Node> nodes_;
  std::vector<uint32_t> buckets_;  // newest node of each; a power of two of them
  uint32_t deepest_ = 0;
};

struct Configuration {
  uint32_t state, count, stack;
  bool operator==(const Configuration&) const = default;
};

// More ways than this at once are cut off: each of those kept can be completed, so the text stays within the grammar.
inline constexpr size_t kMaxConfigurations = 256;

struct ConfigurationSet {
  std::vector<Configuration> items;  // closed: all calls entered, all returns taken
  bool complete = false;             // the text so far is one of the grammar
  bool escaped = false;              // a return from kUnknownStack
  uint32_t escape_count = 0;         // least number of iterations of a counted rule that was left so

  bool dead() const { return items.empty() && !complete && !escaped; }
  void clear() {
    items.clear();
    complete = escaped = false;
  }
};

class Stepper {
 public:
  // open_counts: a counted rule over kUnknownStack has no bounds, it may both go round again and return after every
  // iteration; the counts then say how many iterations a text needs.
  Stepper(const Automaton& automaton, StackPool& pool, bool open_counts = false)
      : automaton_(&automaton), pool_(&pool), open_counts_(open_counts) {}

  // Adds a configuration and what follows from it without reading.
  void add(uint32_t state, uint32_t count, uint32_t stack, ConfigurationSet& out) const;
  // What follows after a byte of text.
  void byte(std::span<const Configuration> from, uint8_t byte, ConfigurationSet& out) const;
  void token(std::span<const Configuration> from, TokenId id, ConfigurationSet& out) const;

 private:
  void finish_iteration_or_rule(uint32_t state, uint32_t count, uint32_t stack, ConfigurationSet& out) const;

  const Automaton* automaton_;
  StackPool* pool_;
  bool open_counts_;
};

}  // namespace mach::grammar
