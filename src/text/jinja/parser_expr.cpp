#include <charconv>

#include "text/jinja/parser_internal.h"
#include "text/jinja/text_search.h"

namespace mach::jinja {
namespace {

struct ArithmeticOperator {
  std::string_view text;
  BinaryOp op;
  size_t level;  // 0 binds least; concatenation (~) stands between levels 0 and 1
};
constexpr ArithmeticOperator kArithmetic[] = {
    {"+", BinaryOp::kAdd, 0},  {"-", BinaryOp::kSub, 0},       {"*", BinaryOp::kMul, 1},
    {"/", BinaryOp::kDiv, 1},  {"//", BinaryOp::kFloorDiv, 1}, {"%", BinaryOp::kMod, 1},
    {"**", BinaryOp::kPow, 2},
};
constexpr std::pair<std::string_view, CompareOp> kComparisons[] = {
    {"==", CompareOp::kEq}, {"!=", CompareOp::kNe}, {"<", CompareOp::kLt},
    {"<=", CompareOp::kLe}, {">", CompareOp::kGt},  {">=", CompareOp::kGe},
};

const Value* literal_of(const ExprPtr& expr) {
  const auto* literal = dynamic_cast<const Literal*>(expr.get());
  return literal != nullptr ? &literal->value : nullptr;
}

uint32_t deepest_of(const std::vector<ExprPtr>& items) {
  uint32_t depth = 0;
  for (const ExprPtr& item : items) depth = std::max(depth, item->depth);
  return depth;
}

}  // namespace

ExprPtr Parser::parse_expression(bool with_condition) {
  const Nesting level(*this);
  return with_condition ? parse_condition() : parse_logical(true);
}

bool Parser::at_tuple_end(Names end_names) const {
  const Token& token = current();
  if (token.is(Token::Type::kVariableEnd) || token.is(Token::Type::kBlockEnd) || token.is_operator(")"))
    return true;
  return token.is(Token::Type::kName) && std::ranges::find(end_names, token.text) != end_names.end();
}

ExprPtr Parser::parse_tuple(bool with_condition, Names end_names, bool in_parentheses) {
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end(end_names)) {
    items.push_back(parse_expression(with_condition));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items.front());
  if (!is_tuple && !in_parentheses) fail_unexpected("an expression");
  auto tuple = std::make_unique<SequenceExpr>(line, true, std::move(items));
  tuple->depth = deepest_of(tuple->items) + 1;
  return finish(std::move(tuple), {});
}

ExprPtr Parser::parse_condition() {
  int line = current().line;
  ExprPtr expr = parse_logical(true);
  while (skip_name("if")) {
    ExprPtr test = parse_logical(true);
    ExprPtr otherwise;
    if (skip_name("else")) {
      const Nesting level(*this);
      otherwise = parse_condition();
    }
    const Expr* children[] = {test.get(), expr.get(), otherwise.get()};
    auto node = std::make_unique<Conditional>(line, std::move(test), std::move(expr), std::move(otherwise));
    expr = finish(std::move(node), {children[0], children[1], children[2]});
    line = current().line;
  }
  return expr;
}

ExprPtr Parser::parse_logical(bool is_or) {
  const int line = current().line;
  const auto operand = [&] { return is_or ? parse_logical(false) : parse_not(); };
  ExprPtr first = operand();
  if (!current().is_name(is_or ? "or" : "and")) return first;
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(first));
  while (skip_name(is_or ? "or" : "and")) operands.push_back(operand());
  auto node = std::make_unique<Logical>(line, is_or, std::move(operands));
  node->depth = deepest_of(node->operands) + 1;
  return finish(std::move(node), {});
}

ExprPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_comparison();
  const Nesting level(*this);
  const int line = take().line;
  ExprPtr operand = parse_not();
  const Expr* child = operand.get();
  return finish(std::make_unique<Not>(line, std::move(operand)), {child});
}

ExprPtr Parser::parse_comparison() {
  const int line = current().line;
  ExprPtr first = parse_arithmetic(0);
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  uint32_t depth = first->depth;
  while (true) {
    const auto row =
        std::ranges::find_if(kComparisons, [&](const auto& r) { return current().is_operator(r.first); });
    CompareOp op = CompareOp::kIn;
    if (row != std::end(kComparisons)) {
      op = row->second;
      take();
    } else if (current().is_name("not") && peek().is_name("in")) {
      op = CompareOp::kNotIn;
      take();
      take();
    } else if (!skip_name("in")) {
      break;
    }
    rest.emplace_back(op, parse_arithmetic(0));
    depth = std::max(depth, rest.back().second->depth);
  }
  if (rest.empty()) return first;
  auto node = std::make_unique<Comparison>(line, std::move(first), std::move(rest));
  node->depth = depth + 1;
  return finish(std::move(node), {});
}

ExprPtr Parser::parse_arithmetic(size_t level) {
  const int line = current().line;
  const auto operand = [&] {
    return level == 0 ? parse_concatenation() : level == 1 ? parse_arithmetic(2) : parse_unary();
  };
  ExprPtr first = operand();
  std::vector<std::pair<BinaryOp, ExprPtr>> rest;
  uint32_t depth = first->depth;
  while (true) {
    const auto row = std::ranges::find_if(kArithmetic, [&](const ArithmeticOperator& r) {
      return r.level == level && current().is_operator(r.text);
    });
    if (row == std::end(kArithmetic)) break;
    take();
    rest.emplace_back(row->op, operand());
    depth = std::max(depth, rest.back().second->depth);
  }
  if (rest.empty()) return first;
  auto node = std::make_unique<Arithmetic>(line, std::move(first), std::move(rest));
  node->depth = depth + 1;
  return finish(std::move(node), {});
}

ExprPtr Parser::parse_concatenation() {
  const int line = current().line;
  ExprPtr first = parse_arithmetic(1);
  if (!current().is_operator("~")) return first;
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(first));
  while (skip_operator("~")) operands.push_back(parse_arithmetic(1));
  auto node = std::make_unique<Concatenation>(line, std::move(operands));
  node->depth = deepest_of(node->operands) + 1;
  return finish(std::move(node), {});
}

ExprPtr Parser::parse_unary(bool with_filters) {
  ExprPtr expr;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Nesting level(*this);
    const bool negative = current().is_operator("-");
    const int line = take().line;
    ExprPtr operand = parse_unary(false);
    const Expr* child = operand.get();
    expr = finish(std::make_unique<Sign>(line, negative, std::move(operand)), {child});
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filters ? parse_filters_and_tests(std::move(expr)) : std::move(expr);
}

ExprPtr Parser::parse_primary() {
  const Token& token = current();
  switch (token.type) {
    case Token::Type::kName: {
      take();
      if (token.text == "true" || token.text == "True")
        return std::make_unique<Literal>(token.line, Value::boolean(true));
      if (token.text == "false" || token.text == "False")
        return std::make_unique<Literal>(token.line, Value::boolean(false));
      if (token.text == "none" || token.text == "None") return std::make_unique<Literal>(token.line, Value());
      const Symbol variable = symbol(token.text);
      ++loads_[variable];
      return std::make_unique<Name>(token.line, variable);
    }
    case Token::Type::kString:
      return parse_string();
    case Token::Type::kInteger:
    case Token::Type::kFloat:
      return parse_number();
    case Token::Type::kOperator:
      if (token.text == "(") {
        take();
        ExprPtr inner = parse_tuple(true, {}, true);
        expect_operator(")");
        return inner;
      }
      if (token.text == "[") return parse_list();
      if (token.text == "{") return parse_dict();
      break;
    default:
      break;
  }
  fail_unexpected("an expression");
}

ExprPtr Parser::parse_string() {
  const int line = current().line;
  std::string text;
  while (current().is(Token::Type::kString)) text += take().text;  // neighbours join, as in Python
  return std::make_unique<Literal>(line, make_string(nullptr, std::move(text)));
}

ExprPtr Parser::parse_number() {
  const Token& token = take();
  std::string_view digits = token.text;
  if (token.is(Token::Type::kFloat)) {
    return std::make_unique<Literal>(token.line, Value::number(parse_float(digits).value_or(0)));
  }
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && digits[1] > '9') {
    const char letter = static_cast<char>(digits[1] | 0x20);
    base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  int64_t number = 0;
  const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), number, base).ec;
  if (error == std::errc()) return std::make_unique<Literal>(token.line, Value::integer(number));
  if (base != 10) fail_here(fmt::format("the number {} is beyond 64-bit integers", token.text));
  return std::make_unique<Literal>(token.line, make_big_int(nullptr, std::string(digits)));
}

// Lists and dicts of constants are built once, here: values never change.
ExprPtr Parser::parse_list() {
  const int line = take().line;
  std::vector<ExprPtr> items;
  while (!current().is_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (current().is_operator("]")) break;
    items.push_back(parse_expression());
  }
  expect_operator("]");
  if (std::ranges::all_of(items, [](const ExprPtr& item) { return literal_of(item) != nullptr; })) {
    std::vector<Value> values;
    for (const ExprPtr& item : items) values.push_back(*literal_of(item));
    return std::make_unique<Literal>(line, make_list(nullptr, std::move(values)));
  }
  auto list = std::make_unique<SequenceExpr>(line, false, std::move(items));
  list->depth = deepest_of(list->items) + 1;
  return finish(std::move(list), {});
}

ExprPtr Parser::parse_dict() {
  const int line = take().line;
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
  uint32_t depth = 0;
  while (!current().is_operator("}")) {
    if (!items.empty()) expect_operator(",");
    if (current().is_operator("}")) break;
    ExprPtr key = parse_expression();
    expect_operator(":");
    ExprPtr value = parse_expression();
    depth = std::max({depth, key->depth, value->depth});
    items.emplace_back(std::move(key), std::move(value));
  }
  expect_operator("}");
  const bool constant = std::ranges::all_of(items, [](const auto& item) {
    return literal_of(item.first) != nullptr && literal_of(item.second) != nullptr &&
           is_hashable(*literal_of(item.first));
  });
  if (constant) {
    DictNode::Items values;
    for (const auto& [key, value] : items) values.emplace_back(*literal_of(key), *literal_of(value));
    return std::make_unique<Literal>(line, make_dict(nullptr, std::move(values)));
  }
  auto dict = std::make_unique<DictExpr>(line, std::move(items));
  dict->depth = depth + 1;
  return finish(std::move(dict), {});
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current().is_operator(".")) {
      expr = parse_member(std::move(expr));
    } else if (current().is_operator("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current().is_operator("(")) {
      expr = parse_call_of(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr expr) {
  while (true) {
    if (current().is_operator("|")) {
      take();
      const int line = current().line;
      FilterCall call = parse_filter();
      const uint32_t depth = std::max(expr->depth, deepest(call.arguments)) + 1;
      auto node = std::make_unique<FilterExpr>(line, std::move(expr), std::move(call));
      node->depth = depth;
      expr = finish(std::move(node), {});
    } else if (current().is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (current().is_operator("(")) {
      expr = parse_call_of(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_member(ExprPtr owner) {
  const int line = take().line;
  const Expr* child = owner.get();
  if (current().is(Token::Type::kName)) {
    Value name = make_string(nullptr, take().text);
    return finish(std::make_unique<Attribute>(line, std::move(owner), std::move(name)), {child});
  }
  if (!current().is(Token::Type::kInteger)) fail_unexpected("a name or number");
  ExprPtr index = parse_number();
  return finish(std::make_unique<Item>(line, std::move(owner), std::move(index)), {child});
}

// owner[key], owner[a:b:c], or owner[a, b] with a tuple as the key.
ExprPtr Parser::parse_subscript(ExprPtr owner) {
  const int line = take().line;
  const auto part_ends = [&] {
    return current().is_operator(":") || current().is_operator("]") || current().is_operator(",");
  };
  ExprPtr first;
  if (!current().is_operator(":")) first = parse_expression();
  if (current().is_operator(":")) {
    std::array<ExprPtr, 2> bounds;
    for (ExprPtr& bound : bounds) {
      if (!skip_operator(":")) break;
      if (!part_ends()) bound = parse_expression();
    }
    expect_operator("]");
    const Expr* children[] = {owner.get(), first.get(), bounds[0].get(), bounds[1].get()};
    auto node = std::make_unique<SliceExpr>(line, std::move(owner), std::move(first), std::move(bounds[0]),
                                            std::move(bounds[1]));
    return finish(std::move(node), {children[0], children[1], children[2], children[3]});
  }
  if (current().is_operator(",")) {
    std::vector<ExprPtr> items;
    items.push_back(std::move(first));
    while (skip_operator(",")) {
      if (current().is_operator("]")) break;
      items.push_back(parse_expression());
    }
    auto tuple = std::make_unique<SequenceExpr>(line, true, std::move(items));
    tuple->depth = deepest_of(tuple->items) + 1;
    first = finish(std::move(tuple), {});
  }
  expect_operator("]");
  const Expr* children[] = {owner.get(), first.get()};
  return finish(std::make_unique<Item>(line, std::move(owner), std::move(first)), {children[0], children[1]});
}

CallArguments Parser::parse_arguments() {
  CallArguments arguments;
  expect_operator("(");
  bool first = true;
  while (!current().is_operator(")")) {
    if (!first) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    first = false;
    const bool only_named = !arguments.named.empty() || arguments.more_positional || arguments.more_named;
    if (current().is_operator("*")) {
      if (arguments.more_positional || arguments.more_named)
        fail_here("invalid syntax for function call expression");
      take();
      arguments.more_positional = parse_expression();
    } else if (current().is_operator("**")) {
      if (arguments.more_named) fail_here("invalid syntax for function call expression");
      take();
      arguments.more_named = parse_expression();
    } else if (current().is(Token::Type::kName) && peek().is_operator("=")) {
      if (arguments.more_named) fail_here("invalid syntax for function call expression");
      std::string name = take().text;
      take();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (only_named) fail_here("invalid syntax for function call expression");
      arguments.positional.push_back(parse_expression());
    }
  }
  expect_operator(")");
  return arguments;
}

uint32_t Parser::deepest(const CallArguments& arguments) const {
  uint32_t depth = deepest_of(arguments.positional);
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, value->depth);
  if (arguments.more_positional) depth = std::max(depth, arguments.more_positional->depth);
  if (arguments.more_named) depth = std::max(depth, arguments.more_named->depth);
  return depth;
}

ExprPtr Parser::parse_call_of(ExprPtr callee) {
  const int line = current().line;
  CallArguments arguments = parse_arguments();
  const uint32_t depth = std::max(callee->depth, deepest(arguments)) + 1;
  auto node = std::make_unique<Call>(line, std::move(callee), std::move(arguments));
  node->depth = depth;
  return finish(std::move(node), {});
}

std::string Parser::parse_dotted_name() {
  std::string name = take_name();
  while (skip_operator(".")) name += "." + take_name();
  return name;
}

FilterCall Parser::parse_filter() {
  const int line = current().line;
  std::string name = parse_dotted_name();
  CallArguments arguments;
  if (current().is_operator("(")) arguments = parse_arguments();
  const Filter* filter = find_filter(name);
  return {line, std::move(name), filter, std::move(arguments)};
}

// subject is [not] name, name(arguments) or name argument.
ExprPtr Parser::parse_test(ExprPtr subject) {
  const int line = take().line;
  const bool negated = skip_name("not");
  std::string name = parse_dotted_name();
  CallArguments arguments;
  const Token& token = current();
  const bool starts_value = token.is(Token::Type::kName) || token.is(Token::Type::kString) ||
                            token.is(Token::Type::kInteger) || token.is(Token::Type::kFloat) ||
                            token.is_operator("[") || token.is_operator("{");
  if (token.is_operator("(")) {
    arguments = parse_arguments();
  } else if (starts_value && !token.is_name("else") && !token.is_name("or") && !token.is_name("and")) {
    if (token.is_name("is")) fail_here("You cannot chain multiple tests with is");
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  const uint32_t depth = std::max(subject->depth, deepest(arguments)) + 1;
  const Predicate* predicate = find_predicate(name);
  auto test =
      std::make_unique<TestExpr>(line, std::move(subject), std::move(name), predicate, std::move(arguments));
  test->depth = depth;
  ExprPtr node = finish(std::move(test), {});
  if (!negated) return node;
  const Expr* child = node.get();
  return finish(std::make_unique<Not>(line, std::move(node)), {child});
}

}  // namespace mach::jinja
