#include "text/jinja/parser.h"

#include "text/jinja/parser_internal.h"

namespace mach::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.type) {
    case Token::Type::kData:
      return "template data";
    case Token::Type::kVariableBegin:
      return "begin of print statement";
    case Token::Type::kVariableEnd:
      return "end of print statement";
    case Token::Type::kBlockBegin:
      return "begin of statement block";
    case Token::Type::kBlockEnd:
      return "end of statement block";
    case Token::Type::kString:
      return "a string";
    case Token::Type::kEnd:
      return "end of template";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace

ParsedTemplate Parser::parse() {
  ParsedTemplate parsed;
  parsed.body = parse_body({});
  parsed.symbols = std::move(symbols_);
  return parsed;
}

const Token& Parser::take() {
  const Token& token = current();
  line_ = token.line;
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_operator(std::string_view op) {
  if (!current().is_operator(op)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) fail_unexpected(fmt::format("'{}'", op));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail_unexpected(fmt::format("'{}'", name));
}

void Parser::expect(Token::Type type, std::string_view what) {
  if (!current().is(type)) fail_unexpected(what);
  take();
}

std::string Parser::take_name() {
  if (!current().is(Token::Type::kName)) fail_unexpected("a name");
  return take().text;
}

void Parser::fail_here(const std::string& message) const {
  line_ = current().line;
  fail(ErrorCode::kCorruptFile, message);
}

void Parser::fail_unexpected(std::string_view wanted) const {
  fail_here(fmt::format("unexpected {}, expected {}", describe(current()), wanted));
}

Symbol Parser::symbol(std::string_view name) {
  const auto [row, added] =
      symbol_numbers_.try_emplace(std::string(name), static_cast<Symbol>(symbols_.size()));
  if (added) {
    symbols_.push_back(make_string(nullptr, std::string(name)));
    loads_.push_back(0);
  }
  return row->second;
}

}  // namespace mach::jinja
