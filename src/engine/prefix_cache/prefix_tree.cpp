#include "engine/prefix_cache/prefix_tree.h"

#include <algorithm>
#include <utility>

namespace mach {
namespace {

uint32_t common_tokens(std::span<const TokenId> a, std::span<const TokenId> b) noexcept {
  return static_cast<uint32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

std::vector<TokenId> PrefixTree::Node::key() const {
  std::vector<TokenId> tokens(depth_);
  for (const Node* node = this; node != nullptr; node = node->parent_) {
    std::copy(node->edge_.begin(), node->edge_.end(),
              tokens.begin() + static_cast<std::ptrdiff_t>(node->depth_ - node->edge_.size()));
  }
  return tokens;
}

PrefixTree::Node* PrefixTree::insert(std::span<const TokenId> tokens) {
  Node* node = root_.get();
  while (!tokens.empty()) {
    const auto child = node->children_.find(tokens.front());
    if (child == node->children_.end()) {
      auto leaf = std::make_unique<Node>();
      leaf->parent_ = node;
      leaf->edge_.assign(tokens.begin(), tokens.end());
      leaf->depth_ = node->depth_ + static_cast<uint32_t>(tokens.size());
      return node->children_.emplace(tokens.front(), std::move(leaf)).first->second.get();
    }
    Node* const next = child->second.get();
    const uint32_t common = common_tokens(next->edge_, tokens);
    node = common < next->edge_.size() ? split(next, common) : next;
    tokens = tokens.subspan(common);
  }
  return node;
}

// A new node `edge_tokens` into the edge above `node`, which stays where it is in memory.
PrefixTree::Node* PrefixTree::split(Node* node, uint32_t edge_tokens) {
  auto upper = std::make_unique<Node>();
  Node* const made = upper.get();
  const auto middle = node->edge_.begin() + edge_tokens;
  upper->parent_ = node->parent_;
  upper->edge_.assign(node->edge_.begin(), middle);
  upper->depth_ = node->depth_ - static_cast<uint32_t>(node->edge_.end() - middle);
  std::unique_ptr<Node>& place = node->parent_->children_.at(node->edge_.front());
  std::unique_ptr<Node> lower = std::exchange(place, std::move(upper));
  lower->edge_.erase(lower->edge_.begin(), lower->edge_.begin() + edge_tokens);
  lower->parent_ = made;
  const TokenId first = lower->edge_.front();
  made->children_.emplace(first, std::move(lower));
  return made;
}

void PrefixTree::remove(Node* node) {
  node->entry_.reset();
  while (node->parent_ != nullptr && !node->entry_) {
    if (node->children_.size() > 1) return;
    if (node->children_.size() == 1) {
      join_with_child(node);
      return;
    }
    Node* const parent = node->parent_;
    parent->children_.erase(node->edge_.front());
    node = parent;
  }
}

void PrefixTree::join_with_child(Node* node) {
  std::unique_ptr<Node> child = std::move(node->children_.begin()->second);
  child->edge_.insert(child->edge_.begin(), node->edge_.begin(), node->edge_.end());
  child->parent_ = node->parent_;
  std::unique_ptr<Node>& place = node->parent_->children_.at(node->edge_.front());
  place = std::move(child);
}

PrefixTree::Match PrefixTree::find(std::span<const TokenId> tokens) const {
  const Node* node = root_.get();
  while (!tokens.empty()) {
    const auto child = node->children_.find(tokens.front());
    if (child == node->children_.end()) break;
    const Node* const next = child->second.get();
    const uint32_t common = common_tokens(next->edge_, tokens);
    if (common < next->edge_.size()) return {node->depth_ + common, node, next};
    node = next;
    tokens = tokens.subspan(common);
  }
  return {node->depth_, node, node};
}

void PrefixTree::visit_up(const Node* node, FunctionRef<bool(EntryId id, uint32_t length)> visit) {
  for (; node != nullptr; node = node->parent_) {
    if (node->entry_ && visit(*node->entry_, node->depth_)) return;
  }
}

bool PrefixTree::visit_down(const Node* node, FunctionRef<bool(EntryId id)> visit) {
  if (node->entry_ && visit(*node->entry_)) return true;
  return std::any_of(node->children_.begin(), node->children_.end(),
                     [&](const auto& child) { return visit_down(child.second.get(), visit); });
}

}  // namespace mach
