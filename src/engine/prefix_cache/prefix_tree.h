// Token sequences by common prefix: a radix tree. A node stands for the tokens on the way to it; edges that no key and no
// branching divides are one piece, so a look-up costs one comparison per token and one map step per branching. Nodes
// that hold an entry keep their address until it is removed. Single owner.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mach/session.h"

#include "base/function_ref.h"

namespace mach {

class PrefixTree {
 public:
  using EntryId = uint64_t;

  class Node {
   public:
    uint32_t depth() const noexcept { return depth_; }
    std::optional<EntryId> entry() const noexcept { return entry_; }
    const Node* parent() const noexcept { return parent_; }
    // The tokens on the way to this node.
    std::vector<TokenId> key() const;

   private:
    friend class PrefixTree;
    Node* parent_ = nullptr;
    std::vector<TokenId> edge_;  // from the parent to here
    uint32_t depth_ = 0;         // tokens
    std::optional<EntryId> entry_;
    std::map<TokenId, std::unique_ptr<Node>> children_;
  };

  struct Match {
    uint32_t common = 0;          // tokens that some key shares with the ones looked for
    const Node* at = nullptr;     // the node nearest to that place, above or at it
    const Node* below = nullptr;  // the subtree of keys that share them all
  };

  PrefixTree() : root_(std::make_unique<Node>()) {}

  // The node of exactly these tokens, made if there is none. It must get an entry or be removed again.
  Node* insert(std::span<const TokenId> tokens);
  void set_entry(Node* node, EntryId id) noexcept { node->entry_ = id; }
  // Removes the node's entry, and the nodes that are then of no use.
  void remove(Node* node);

  Match find(std::span<const TokenId> tokens) const;

  // Entries of the nodes above and at `node`, longest key first, until visit() returns true.
  static void visit_up(const Node* node, FunctionRef<bool(EntryId id, uint32_t length)> visit);
  // Entries in a subtree, until visit() returns true.
  static bool visit_down(const Node* node, FunctionRef<bool(EntryId id)> visit);

 private:
  Node* split(Node* node, uint32_t edge_tokens);
  void join_with_child(Node* node);

  std::unique_ptr<Node> root_;
};

}  // namespace mach
