#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/object.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

constexpr size_t kLinearSearch = 8;

uint32_t deepest(const std::vector<Value>& items) noexcept {
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth;
}

uint32_t deepest(const DictNode::Items& items) noexcept {
  uint32_t depth = 0;
  for (const auto& [key, value] : items) depth = std::max({depth, key.depth(), value.depth()});
  return depth;
}

int key_rank(const Value& v) noexcept {
  switch (v.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      return 0;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return 1;
    case Kind::kBigInt:
      return 2;
    case Kind::kString:
      return 3;
    case Kind::kTuple:
      return 4;
    case Kind::kUndefined:
      return 5;
    default:
      return 6;
  }
}

template <class T>
int three_way(const T& a, const T& b) noexcept {
  return a < b ? -1 : b < a ? 1 : 0;
}

int compare_floats(double a, double b) noexcept {
  if (std::isnan(a) || std::isnan(b)) return three_way(std::isnan(a), std::isnan(b));
  return three_way(a, b);
}

int compare_numbers(const Value& a, const Value& b) noexcept {
  if (a.is(Kind::kFloat)) {
    return b.is(Kind::kFloat) ? compare_floats(a.as_float(), b.as_float())
                              : -compare_int_float(b.as_int(), a.as_float());
  }
  return b.is(Kind::kFloat) ? compare_int_float(a.as_int(), b.as_float()) : three_way(a.as_int(), b.as_int());
}

}  // namespace

Node::Node(Budget* budget, size_t bytes, uint32_t depth) : depth_(depth), budget_(budget), charged_(bytes) {
  if (depth > Limits::kNesting) {
    fail(ErrorCode::kTooLarge, fmt::format("values nest deeper than {} levels", Limits::kNesting));
  }
  if (budget_ != nullptr) budget_->allocate(charged_);
}

std::string_view Value::text() const noexcept {
  return static_cast<const StringNode*>(payload_.node)->text();
}
const StringNode& Value::string() const noexcept { return *static_cast<const StringNode*>(payload_.node); }
const std::vector<Value>& Value::items() const noexcept {
  return static_cast<const ListNode*>(payload_.node)->items();
}
const DictNode& Value::dict() const noexcept { return *static_cast<const DictNode*>(payload_.node); }
const UndefinedNode& Value::undefined() const noexcept {
  return *static_cast<const UndefinedNode*>(payload_.node);
}
// Objects may carry state (a cycler's position); the node pointer is const for all others.
Object& Value::object() const noexcept {
  return const_cast<Object&>(*static_cast<const Object*>(payload_.node));
}

StringNode::StringNode(Budget* budget, std::string text, bool safe)
    : Node(budget, sizeof *this + text.capacity(), 1),
      text_(std::move(text)),
      length_(count_code_points(text_)),
      safe_(safe) {}

ListNode::ListNode(Budget* budget, std::vector<Value> items, bool group)
    : Node(budget, sizeof *this + items.capacity() * sizeof(Value), 1 + deepest(items)),
      items_(std::move(items)),
      group_(group) {}

DictNode::DictNode(Budget* budget, Items items)
    : Node(budget, sizeof *this + items.capacity() * (sizeof(Items::value_type) + sizeof(uint32_t)),
           1 + deepest(items)),
      items_(std::move(items)) {
  if (items_.size() <= kLinearSearch) {
    for (size_t i = 1; i < items_.size();) {
      const auto twin =
          std::find_if(items_.begin(), items_.begin() + static_cast<ptrdiff_t>(i),
                       [&](const auto& entry) { return compare_keys(entry.first, items_[i].first) == 0; });
      if (twin == items_.begin() + static_cast<ptrdiff_t>(i)) {
        ++i;
        continue;
      }
      twin->second = std::move(items_[i].second);
      items_.erase(items_.begin() + static_cast<ptrdiff_t>(i));
    }
    return;
  }
  const auto sort_order = [&] {
    order_.resize(items_.size());
    for (uint32_t i = 0; i < order_.size(); ++i) order_[i] = i;
    std::ranges::stable_sort(
        order_, [&](uint32_t a, uint32_t b) { return compare_keys(items_[a].first, items_[b].first) < 0; });
  };
  sort_order();
  std::vector<bool> twin(items_.size());
  bool any_twin = false;
  for (size_t i = 1; i < order_.size(); ++i) {
    const uint32_t first = order_[i - 1];
    if (compare_keys(items_[first].first, items_[order_[i]].first) != 0) continue;
    items_[first].second = std::move(items_[order_[i]].second);
    twin[order_[i]] = any_twin = true;
    order_[i] = first;
  }
  if (!any_twin) return;
  size_t kept = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (twin[i]) continue;
    if (kept != i) items_[kept] = std::move(items_[i]);
    ++kept;
  }
  items_.resize(kept);
  sort_order();
}

const Value* DictNode::find(const Value& key) const noexcept {
  if (!is_hashable(key)) return nullptr;
  if (order_.empty()) {
    for (const auto& [k, value] : items_) {
      if (compare_keys(k, key) == 0) return &value;
    }
    return nullptr;
  }
  const auto it =
      std::ranges::lower_bound(order_, 0, {}, [&](uint32_t i) { return compare_keys(items_[i].first, key); });
  if (it == order_.end() || compare_keys(items_[*it].first, key) != 0) return nullptr;
  return &items_[*it].second;
}

const Value* DictNode::find(std::string_view key) const noexcept {
  if (order_.empty()) {
    for (const auto& [k, value] : items_) {
      if (k.is_string() && k.text() == key) return &value;
    }
    return nullptr;
  }
  const auto position = [&](uint32_t i) {
    const Value& k = items_[i].first;
    return k.is_string() ? k.text().compare(key) : three_way(key_rank(k), 3);
  };
  const auto it = std::ranges::lower_bound(order_, 0, {}, position);
  if (it == order_.end() || position(*it) != 0) return nullptr;
  return &items_[*it].second;
}

std::string UndefinedNode::message() const {
  if (!hint_.empty()) return hint_;
  if (owner_.empty()) return fmt::format("{} is undefined", repr(name_));
  if (!name_.is_string()) return fmt::format("{} has no element {}", owner_, repr(name_));
  return fmt::format("'{}' has no attribute {}", owner_, repr(name_));
}

Value make_string(Budget* budget, std::string text, bool safe) {
  if (budget != nullptr) budget->check_text(text.size());
  return Value::node(Kind::kString, new StringNode(budget, std::move(text), safe));
}

Value make_big_int(Budget* budget, std::string digits) {
  return Value::node(Kind::kBigInt, new StringNode(budget, std::move(digits), false));
}

Value make_list(Budget* budget, std::vector<Value> items) {
  return Value::node(Kind::kList, new ListNode(budget, std::move(items), false));
}

Value make_tuple(Budget* budget, std::vector<Value> items, bool group) {
  return Value::node(Kind::kTuple, new ListNode(budget, std::move(items), group));
}

Value make_dict(Budget* budget, DictNode::Items items) {
  for (const auto& [key, value] : items) {
    if (!is_hashable(key)) fail(fmt::format("unhashable type: '{}'", type_name(key)));
  }
  return Value::node(Kind::kDict, new DictNode(budget, std::move(items)));
}

int compare_int_float(int64_t a, double b) noexcept {
  if (std::isnan(b)) return -1;
  if (b >= 0x1p63) return -1;
  if (b < -0x1p63) return 1;
  const double whole = std::floor(b);
  const int order = three_way(a, static_cast<int64_t>(whole));
  return order != 0 ? order : (b > whole ? -1 : 0);
}

int compare_keys(const Value& a, const Value& b) noexcept {
  const int rank = key_rank(a);
  if (const int order = three_way(rank, key_rank(b)); order != 0) return order;
  switch (rank) {
    case 0:
    case 5:
      return 0;
    case 1:
      return compare_numbers(a, b);
    case 2:
    case 3:
      return a.identity() == b.identity() ? 0 : a.text().compare(b.text());
    case 4: {
      if (a.identity() == b.identity()) return 0;
      const auto& x = a.items();
      const auto& y = b.items();
      for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
        if (const int order = compare_keys(x[i], y[i]); order != 0) return order;
      }
      return three_way(x.size(), y.size());
    }
    default:
      return three_way(a.identity(), b.identity());
  }
}

bool is_hashable(const Value& value) noexcept {
  if (value.is(Kind::kList) || value.is_dict()) return false;
  if (!value.is(Kind::kTuple)) return true;
  // Flat tuples only: comparing keys must not cost more than their length, and nested ones may share their parts.
  return value.depth() <= 2 && std::ranges::none_of(value.items(), [](const Value& item) {
           return item.is(Kind::kList) || item.is(Kind::kTuple) || item.is_dict();
         });
}

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kString:
      return value.string().safe() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return std::string(value.object().type_name());
  }
  return {};
}

std::string described_type(const Value& value) {
  if (value.is_none()) return "None";
  if (value.is(Kind::kObject)) return std::string(value.object().described_type());
  return type_name(value) + " object";
}

}  // namespace mach::jinja
