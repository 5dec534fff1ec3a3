#include "text/grammar/configuration.h"

#include <algorithm>

namespace mach::grammar {

StackPool::StackPool() : nodes_(2), buckets_(64) {}  // kBottom and kUnknownStack

size_t StackPool::bucket(uint32_t state, uint32_t count, uint32_t parent) const {
  uint64_t hash = state * 0x9E3779B97F4A7C15U;
  hash = (hash ^ (hash >> 29) ^ count) * 0xBF58476D1CE4E5B9U;
  hash = (hash ^ (hash >> 32) ^ parent) * 0x94D049BB133111EBU;
  return (hash >> 32) & (buckets_.size() - 1);
}

uint32_t StackPool::push(uint32_t state, uint32_t count, uint32_t parent) {
  const size_t b = bucket(state, count, parent);
  for (uint32_t i = buckets_[b]; i != 0; i = nodes_[i].next_in_bucket) {
    const Node& node = nodes_[i];
    if (node.state == state && node.count == count && node.parent == parent) return i;
  }
  const auto id = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({state, count, parent, nodes_[parent].depth + 1, buckets_[b]});
  deepest_ = std::max(deepest_, nodes_.back().depth);
  buckets_[b] = id;
  if (nodes_.size() > buckets_.size()) rehash();
  return id;
}

// In the order of their ids, so that every bucket still lists its newest node first: truncate() relies on it.
void StackPool::rehash() {
  buckets_.assign(buckets_.size() * 2, 0);
  for (uint32_t i = kUnknownStack + 1; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    uint32_t& head = buckets_[bucket(node.state, node.count, node.parent)];
    node.next_in_bucket = head;
    head = i;
  }
}

void StackPool::truncate(size_t size) {
  while (nodes_.size() > size) {
    const Node& node = nodes_.back();
    buckets_[bucket(node.state, node.count, node.parent)] = node.next_in_bucket;
    nodes_.pop_back();
  }
}

void Stepper::add(uint32_t state, uint32_t count, uint32_t stack, ConfigurationSet& out) const {
  const Configuration added{state, count, stack};
  if (out.items.size() >= kMaxConfigurations ||
      std::find(out.items.begin(), out.items.end(), added) != out.items.end()) {
    return;
  }
  out.items.push_back(added);
  if (automaton_->simple(state)) return;
  for (const Automaton::Call& call : automaton_->calls(state)) {
    const Automaton::RuleInfo& rule = automaton_->rule(call.rule);
    const uint32_t depth = pool_->depth(stack);
    // A call whose return would only return again leaves nothing on the stack, so right recursion needs none.
    const bool tail = automaton_->returns_only(call.return_state);
    const uint32_t inner_depth = tail ? depth : depth + 1;
    if (inner_depth + automaton_->height(rule.start) > kMaxStackDepth) continue;
    if (!tail && depth + automaton_->height(call.return_state) > kMaxStackDepth) continue;
    add(rule.start, 0, tail ? stack : pool_->push(call.return_state, count, stack), out);
  }
  if (automaton_->accepting(state)) finish_iteration_or_rule(state, count, stack, out);
}

void Stepper::finish_iteration_or_rule(uint32_t state, uint32_t count, uint32_t stack,
                                       ConfigurationSet& out) const {
  const Automaton::RuleInfo& rule = automaton_->rule_of(state);
  if (rule.counted && open_counts_ && stack == kUnknownStack) {
    out.escape_count = out.escaped ? std::min(out.escape_count, count + 1) : count + 1;
    out.escaped = true;
    add(rule.start, count + 1, stack, out);
    return;
  }
  if (rule.counted) {
    // Beyond the minimum of an open-ended repetition all counts are alike.
    const uint32_t done = rule.max == kUnbounded ? std::min(count + 1, rule.min) : count + 1;
    if (done < rule.max) add(rule.start, done, stack, out);
    if (done < rule.min) return;
  }
  if (stack == kBottom) {
    out.complete = true;
  } else if (stack == kUnknownStack) {
    out.escaped = true;
  } else {
    const StackPool::Node node = (*pool_)[stack];
    add(node.state, node.count, node.parent, out);
  }
}

void Stepper::byte(std::span<const Configuration> from, uint8_t byte, ConfigurationSet& out) const {
  for (const Configuration& c : from) {
    const uint32_t to = automaton_->next(c.state, byte);
    if (to == kDead) continue;
    if (pool_->depth(c.stack) + automaton_->height(to) > kMaxStackDepth) continue;
    add(to, c.count, c.stack, out);
  }
}

void Stepper::token(std::span<const Configuration> from, TokenId id, ConfigurationSet& out) const {
  for (const Configuration& c : from) {
    for (const Automaton::TokenEdge& edge : automaton_->token_edges(c.state)) {
      if (edge.id != id || pool_->depth(c.stack) + automaton_->height(edge.target) > kMaxStackDepth) continue;
      add(edge.target, c.count, c.stack, out);
    }
  }
}

}  // namespace mach::grammar
