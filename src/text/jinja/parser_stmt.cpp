#include <array>

#include "text/jinja/parser_internal.h"

namespace mach::jinja {
namespace {

constexpr std::string_view kEndFor[] = {"else", "endfor"};
constexpr std::string_view kIn[] = {"in"};
constexpr std::string_view kRecursive[] = {"recursive"};

std::span<const std::string_view> one(const std::string_view& name) { return {&name, 1}; }

}  // namespace

std::span<const Parser::Tag> Parser::tags() noexcept {
  static constexpr std::array kTags = std::to_array<Tag>({
      {"if", &Parser::parse_if},
      {"for", &Parser::parse_for},
      {"set", &Parser::parse_set},
      {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call},
      {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},
      {"block", &Parser::parse_block},
      {"autoescape", &Parser::parse_autoescape},
      {"generation", &Parser::parse_generation},
      {"print", &Parser::parse_print},
      {"do", &Parser::parse_do},
      {"break", &Parser::parse_break},
      {"continue", &Parser::parse_continue},
      {"include", &Parser::parse_include},
      {"import", &Parser::parse_import},
      {"from", &Parser::parse_import},
      {"extends", &Parser::parse_extends},
  });
  return kTags;
}

Body Parser::parse_body(Names end_names) {
  const Nesting level(*this);
  Body body;
  while (true) {
    const Token& token = current();
    line_ = token.line;
    switch (token.type) {
      case Token::Type::kData:
        body.push_back(std::make_unique<Text>(token.line, token.text));
        take();
        break;
      case Token::Type::kVariableBegin: {
        take();
        auto value = parse_tuple();
        body.push_back(std::make_unique<Output>(token.line, std::move(value)));
        expect(Token::Type::kVariableEnd, "end of print statement");
        break;
      }
      case Token::Type::kBlockBegin: {
        take();
        const Token& name = current();
        if (name.is(Token::Type::kName) && std::ranges::find(end_names, name.text) != end_names.end())
          return body;
        body.push_back(parse_statement());
        expect(Token::Type::kBlockEnd, "end of statement block");
        break;
      }
      default:
        if (!end_names.empty())
          fail_here(fmt::format("unexpected end of template, expected {}", fmt::join(end_names, " or ")));
        if (!token.is(Token::Type::kEnd)) fail_unexpected("template data");
        return body;
    }
  }
}

Body Parser::parse_block_body(Names end_names, std::string_view* found) {
  skip_operator(":");
  expect(Token::Type::kBlockEnd, "end of statement block");
  Body body = parse_body(end_names);
  const std::string& name = take().text;
  if (found != nullptr) *found = *std::ranges::find(end_names, name);
  return body;
}

StmtPtr Parser::parse_statement() {
  if (!current().is(Token::Type::kName)) fail_unexpected("a tag name");
  const auto row = std::ranges::find(tags(), current().text, &Tag::name);
  if (row == tags().end()) fail_here(fmt::format("unknown tag '{}'", current().text));
  const int line = take().line;
  return (this->*row->parse)(line);
}

StmtPtr Parser::parse_for(int line) {
  auto loop = std::make_unique<For>(line);
  loop->target = parse_target(false, kIn);
  loop->loop = symbol("loop");
  const auto writes_loop = [&](const auto& self, const Target& target) -> bool {
    return target.type == Target::Type::kTuple
               ? std::ranges::any_of(target.parts, [&](const Target& part) { return self(self, part); })
               : target.symbol == loop->loop;
  };
  if (writes_loop(writes_loop, loop->target))
    fail_here("Can't assign to special loop variable in for-loop target");
  expect_name("in");
  loop->items = parse_tuple(false, kRecursive);
  if (skip_name("if")) loop->filter = parse_expression();
  loop->recursive = skip_name("recursive");
  const uint32_t loads = loads_[loop->loop];
  std::string_view end;
  ++loops_;
  loop->body = parse_block_body(kEndFor, &end);
  --loops_;
  loop->uses_loop = loop->recursive || loads_[loop->loop] != loads;
  if (end == "else") loop->otherwise = parse_block_body(one("endfor"));
  return loop;
}

StmtPtr Parser::parse_if(int line) {
  constexpr std::string_view kEnds[] = {"elif", "else", "endif"};
  auto statement = std::make_unique<If>(line);
  std::string_view end;
  do {
    auto test = parse_tuple(false);
    Body body = parse_block_body(kEnds, &end);
    statement->branches.push_back({std::move(test), std::move(body)});
  } while (end == "elif");
  if (end == "else") statement->otherwise = parse_block_body(one("endif"));
  return statement;
}

StmtPtr Parser::parse_set(int line) {
  Target target = parse_target(true);
  if (skip_operator("=")) return std::make_unique<Set>(line, std::move(target), parse_tuple());
  std::vector<FilterCall> filters;
  while (skip_operator("|")) filters.push_back(parse_filter());
  Body body = parse_block_body(one("endset"));
  return std::make_unique<SetBlock>(line, std::move(target), std::move(filters), std::move(body));
}

Signature Parser::parse_signature(std::string name, int line) {
  Signature signature;
  signature.name = std::move(name);
  signature.line = line;
  signature.caller = symbol("caller");
  signature.varargs = symbol("varargs");
  signature.kwargs = symbol("kwargs");
  if (signature.name.empty() && !current().is_operator("(")) return signature;
  expect_operator("(");
  bool defaults = false;
  while (!current().is_operator(")")) {
    if (!signature.parameters.empty()) expect_operator(",");
    std::string parameter = take_name();
    ExprPtr value;
    if (skip_operator("=")) {
      value = parse_expression();
      defaults = true;
    } else if (defaults) {
      fail_here("non-default argument follows default argument");
    }
    if (std::ranges::find(signature.names, parameter) != signature.names.end()) {
      fail_here(fmt::format("duplicate argument '{}'", parameter));
    }
    signature.parameters.emplace_back(symbol(parameter), std::move(value));
    signature.names.push_back(std::move(parameter));
  }
  expect_operator(")");
  return signature;
}

void Parser::parse_signature_body(Signature& signature, std::string_view end_name) {
  const auto read_so_far = [&](Symbol s) { return loads_[s]; };
  const uint32_t caller = read_so_far(signature.caller);
  const uint32_t varargs = read_so_far(signature.varargs);
  const uint32_t kwargs = read_so_far(signature.kwargs);
  const int loops = std::exchange(loops_, 0);
  signature.body = parse_block_body(one(end_name));
  loops_ = loops;
  const auto is_parameter = [&](std::string_view name) {
    return std::ranges::find(signature.names, name) != signature.names.end();
  };
  signature.uses_caller = read_so_far(signature.caller) != caller;
  for (size_t i = 0; signature.uses_caller && i < signature.names.size(); ++i) {
    if (signature.names[i] == "caller" && !signature.parameters[i].second) {
      fail_here("the special \"caller\" argument must be omitted or be given a default");
    }
  }
  signature.uses_varargs = read_so_far(signature.varargs) != varargs && !is_parameter("varargs");
  signature.uses_kwargs = read_so_far(signature.kwargs) != kwargs && !is_parameter("kwargs");
}

StmtPtr Parser::parse_macro(int line) {
  std::string name = take_name();
  const Symbol variable = symbol(name);
  Signature signature = parse_signature(std::move(name), line);
  parse_signature_body(signature, "endmacro");
  return std::make_unique<Macro>(line, variable, std::move(signature));
}

StmtPtr Parser::parse_call(int line) {
  Signature signature = parse_signature({}, line);
  ExprPtr expr = parse_expression();
  if (dynamic_cast<Call*>(expr.get()) == nullptr) fail_here("expected call");
  std::unique_ptr<Call> call(static_cast<Call*>(expr.release()));
  parse_signature_body(signature, "endcall");
  return std::make_unique<CallBlock>(line, std::move(call), std::move(signature));
}

StmtPtr Parser::parse_filter_block(int line) {
  std::vector<FilterCall> filters;
  do {
    filters.push_back(parse_filter());
  } while (skip_operator("|"));
  Body body = parse_block_body(one("endfilter"));
  return std::make_unique<FilterBlock>(line, std::move(filters), std::move(body));
}

StmtPtr Parser::parse_with(int line) {
  auto statement = std::make_unique<With>(line);
  while (!current().is(Token::Type::kBlockEnd)) {
    if (!statement->variables.empty()) expect_operator(",");
    Target target = parse_target(false);
    expect_operator("=");
    statement->variables.emplace_back(std::move(target), parse_expression());
  }
  statement->body = parse_block_body(one("endwith"));
  return statement;
}

StmtPtr Parser::parse_block(int line) {
  const std::string name = take_name();
  const bool scoped = skip_name("scoped");
  skip_name("required");
  const int loops = std::exchange(loops_, 0);
  Body body = parse_block_body(one("endblock"));
  loops_ = loops;
  skip_name(name);
  return std::make_unique<Block>(line, scoped, std::move(body));
}

StmtPtr Parser::parse_autoescape(int line) {
  const ExprPtr on = parse_expression();
  const auto* literal = dynamic_cast<const Literal*>(on.get());
  if (literal == nullptr || truthy(literal->value)) {
    fail(ErrorCode::kUnsupported, "only {% autoescape false %} is supported: prompts are not HTML");
  }
  auto statement = std::make_unique<With>(line);
  statement->body = parse_block_body(one("endautoescape"));
  return statement;
}

// Hugging Face marks the assistant's tokens with this tag; the text stays as it is.
StmtPtr Parser::parse_generation(int line) {
  auto statement = std::make_unique<With>(line);
  statement->body = parse_block_body(one("endgeneration"));
  return statement;
}

StmtPtr Parser::parse_print(int line) {
  // Several values print one after the other: a concatenation.
  std::vector<ExprPtr> values;
  while (!current().is(Token::Type::kBlockEnd)) {
    if (!values.empty()) expect_operator(",");
    values.push_back(parse_expression());
  }
  return std::make_unique<Output>(line, std::make_unique<Concatenation>(line, std::move(values)));
}

StmtPtr Parser::parse_do(int line) { return std::make_unique<Do>(line, parse_tuple()); }
StmtPtr Parser::parse_break(int line) { return loop_control(line, Flow::kBreak); }
StmtPtr Parser::parse_continue(int line) { return loop_control(line, Flow::kContinue); }

StmtPtr Parser::loop_control(int line, Flow flow) {
  if (loops_ == 0)
    fail_here(fmt::format("'{}' outside of a loop", flow == Flow::kBreak ? "break" : "continue"));
  return std::make_unique<LoopControl>(line, flow);
}

StmtPtr Parser::parse_include(int line) { return unsupported(line, "include"); }
StmtPtr Parser::parse_import(int line) { return unsupported(line, "import"); }
StmtPtr Parser::parse_extends(int line) { return unsupported(line, "extends"); }

// The rest of the tag is skipped; it fails only when it is reached, as it does where a template has no loader.
StmtPtr Parser::unsupported(int line, std::string_view tag) {
  while (!current().is(Token::Type::kBlockEnd) && !current().is(Token::Type::kEnd)) take();
  return std::make_unique<Unsupported>(
      line, fmt::format("the tag '{}' is not supported: a chat template is one file", tag));
}

Target Parser::parse_single_target(bool with_members) {
  const Nesting level(*this);
  Target target;
  target.line = current().line;
  if (skip_operator("(")) {
    target = parse_target(with_members);
    expect_operator(")");
    return target;
  }
  if (!current().is(Token::Type::kName)) fail_unexpected("a name to assign to");
  constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
  if (std::ranges::find(kConstants, current().text) != std::end(kConstants)) {
    fail_here(fmt::format("can't assign to '{}'", current().text));
  }
  target.symbol = symbol(take().text);
  if (with_members && skip_operator(".")) {
    target.type = Target::Type::kMember;
    target.member = make_string(nullptr, take_name());
  }
  return target;
}

Target Parser::parse_target(bool with_members, Names end_names) {
  Target tuple;
  tuple.type = Target::Type::kTuple;
  tuple.line = current().line;
  bool is_tuple = false;
  while (true) {
    if (!tuple.parts.empty() && at_tuple_end(end_names)) break;
    tuple.parts.push_back(parse_single_target(with_members));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  Target single = std::move(tuple.parts.front());
  return single;
}

}  // namespace mach::jinja
