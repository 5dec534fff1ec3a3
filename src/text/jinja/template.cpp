#include "text/jinja/template.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/failure.h"
#include "text/jinja/globals.h"
#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"

namespace mach::jinja {
namespace {

// An error is one line, whatever a template raises.
[[noreturn]] void rethrow(const Failure& failure, std::string_view name, int line) {
  std::string message = fmt::format("{}:{}: {}", name, line, failure.what());
  std::ranges::replace_if(
      message, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  throw Error(failure.code(), message);
}

}  // namespace

Template::Template(std::string name, std::shared_ptr<const ParsedTemplate> parsed)
    : name_(std::move(name)), parsed_(std::move(parsed)) {
  for (const Value& symbol : parsed_->symbols) globals_.push_back(find_global(symbol.text()));
}

Template Template::parse(std::string_view source, std::string name) {
  int line = 1;
  try {
    if (source.size() > kMostBytes) {
      fail(ErrorCode::kTooLarge,
           fmt::format("a template has at most {} bytes, this one has {}", kMostBytes, source.size()));
    }
    if (!is_valid_utf8(source)) {
      line += static_cast<int>(std::ranges::count(source.substr(0, find_invalid_utf8(source)), '\n'));
      fail(ErrorCode::kCorruptFile, "the template is not UTF-8");
    }
    Parser parser(tokenize(source, line), line);
    auto parsed = std::make_shared<const ParsedTemplate>(parser.parse());
    return {std::move(name), std::move(parsed)};
  } catch (const Failure& failure) {
    rethrow(failure, name, line);
  }
}

std::string Template::render(const Value& variables, const RenderOptions& options) const {
  if (!variables.is_dict()) throw Error(ErrorCode::kInternal, "the variables of a template must be a dict");
  const Clock clock = options.clock ? options.clock : clock_from_environment();
  std::vector<Value> globals = globals_;
  for (size_t i = 0; i < globals.size(); ++i) {
    if (const Value* value = variables.dict().find(parsed_->symbols[i].text())) globals[i] = *value;
  }
  Runtime rt(options.limits, clock, std::move(globals), parsed_->symbols);
  try {
    exec_body(parsed_->body, rt);
    return rt.out->take();
  } catch (const Failure& failure) {
    rethrow(failure, name_, rt.line);
  }
}

bool Template::mentions(std::string_view variable) const noexcept {
  return std::ranges::any_of(parsed_->symbols,
                             [&](const Value& symbol) { return symbol.text() == variable; });
}

}  // namespace mach::jinja
