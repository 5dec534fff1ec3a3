// Recursive descent over the tokens of a template, with the precedences and oddities of Jinja's grammar.
// Source: the Jinja template designer documentation; behaviour compared with Jinja 3.1.6.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/stmt.h"

namespace mach::jinja {

struct ParsedTemplate {
  Body body;
  std::vector<Value> symbols;  // names, by number
};

class Parser {
 public:
  // `line` follows the parser, so that a failure has a place.
  Parser(std::vector<Token> tokens, int& line) : tokens_(std::move(tokens)), line_(line) {}

  // Throws Failure: kCorruptFile for what is no template, kTooLarge for one that nests too deeply.
  ParsedTemplate parse();

 private:
  using Names = std::span<const std::string_view>;

  // Tokens (parser.cpp)
  const Token& current() const noexcept { return tokens_[at_]; }
  const Token& peek() const noexcept { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take();
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  void expect(Token::Type type, std::string_view what);
  std::string take_name();
  [[noreturn]] void fail_here(const std::string& message) const;
  [[noreturn]] void fail_unexpected(std::string_view wanted) const;
  Symbol symbol(std::string_view name);

  // Statements (parser_stmt.cpp)
  using Handler = StmtPtr (Parser::*)(int line);
  struct Tag {
    std::string_view name;
    Handler parse;
  };
  static std::span<const Tag> tags() noexcept;
  // Up to a block tag with one of the names, which is left as the current token (behind the block begin).
  Body parse_body(Names end_names);
  // The same behind the end of the opening tag, end tag included; returns the name that ended it.
  Body parse_block_body(Names end_names, std::string_view* found = nullptr);
  StmtPtr parse_statement();
  StmtPtr parse_for(int line);
  StmtPtr parse_if(int line);
  StmtPtr parse_set(int line);
  StmtPtr parse_macro(int line);
  StmtPtr parse_call(int line);
  StmtPtr parse_filter_block(int line);
  StmtPtr parse_with(int line);
  StmtPtr parse_block(int line);
  StmtPtr parse_autoescape(int line);
  StmtPtr parse_generation(int line);
  StmtPtr parse_print(int line);
  StmtPtr parse_do(int line);
  StmtPtr parse_break(int line);
  StmtPtr parse_continue(int line);
  StmtPtr parse_include(int line);
  StmtPtr parse_import(int line);
  StmtPtr parse_extends(int line);
  StmtPtr loop_control(int line, Flow flow);
  StmtPtr unsupported(int line, std::string_view tag);
  Signature parse_signature(std::string name, int line);
  void parse_signature_body(Signature& signature, std::string_view end_name);
  Target parse_target(bool with_members, Names end_names = {});
  Target parse_single_target(bool with_members);

  // Expressions (parser_expr.cpp)
  ExprPtr parse_expression(bool with_condition = true);
  ExprPtr parse_tuple(bool with_condition = true, Names end_names = {}, bool in_parentheses = false);
  ExprPtr parse_condition();
  ExprPtr parse_logical(bool is_or);
  ExprPtr parse_not();
  ExprPtr parse_comparison();
  ExprPtr parse_arithmetic(size_t level);
  ExprPtr parse_concatenation();
  ExprPtr parse_unary(bool with_filters = true);
  ExprPtr parse_primary();
  ExprPtr parse_string();
  ExprPtr parse_number();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filters_and_tests(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr owner);
  ExprPtr parse_member(ExprPtr owner);
  ExprPtr parse_call_of(ExprPtr callee);
  ExprPtr parse_test(ExprPtr subject);
  FilterCall parse_filter();
  std::string parse_dotted_name();
  CallArguments parse_arguments();
  bool at_tuple_end(Names end_names) const;
  // Gives a node its depth, and refuses one that is too deep.
  template <class T>
  ExprPtr finish(std::unique_ptr<T> node, std::initializer_list<const Expr*> children);
  uint32_t deepest(const CallArguments& arguments) const;

  // Counts the levels of what is open; a level per bracket or block.
  class Nesting;

  std::vector<Token> tokens_;
  int& line_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // open around the current place, within the current macro
  std::vector<Value> symbols_;
  std::unordered_map<std::string, Symbol> symbol_numbers_;
  std::vector<uint32_t> loads_;  // how often each symbol was read so far
};

}  // namespace mach::jinja
