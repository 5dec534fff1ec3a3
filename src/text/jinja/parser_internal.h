// Shared by the three files of the parser only.
#pragma once

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/parser.h"

namespace mach::jinja {

inline constexpr int kMostNesting = 100;         // brackets and blocks inside each other
inline constexpr uint32_t kMostExprDepth = 250;  // of an expression tree

class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    if (parser_.nesting_ >= kMostNesting) {
      fail(ErrorCode::kTooLarge, fmt::format("brackets and blocks nest deeper than {} levels", kMostNesting));
    }
    ++parser_.nesting_;
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() { --parser_.nesting_; }

 private:
  Parser& parser_;
};

template <class T>
ExprPtr Parser::finish(std::unique_ptr<T> node, std::initializer_list<const Expr*> children) {
  for (const Expr* child : children) {
    if (child != nullptr) node->depth = std::max(node->depth, child->depth + 1);
  }
  if (node->depth > kMostExprDepth) {
    fail(ErrorCode::kTooLarge, fmt::format("an expression is deeper than {} levels", kMostExprDepth));
  }
  return node;
}

}  // namespace mach::jinja
