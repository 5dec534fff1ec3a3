// A Jinja template, parsed once and rendered many times. The dialect is that of Hugging Face chat templates: Jinja 3.1
// with trim_blocks, lstrip_blocks, loop controls, the `generation` tag, an immutable sandbox, no autoescape, `tojson`
// redefined, raise_exception() and strftime_now() added. Beyond it: the `do` tag and the filter from_json.
// Not there: include, import, extends (an error when reached), autoescape true, random, urlize, lipsum, \N{} escapes,
// integers beyond 64 bits except to pass them through.
//   const auto greeting = Template::parse("Hello {{ name }}!", "greeting");
//   greeting.render(variables)
// Thread-safe: a Template is immutable, and every rendering has its own state and budget.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mach/error.h"

#include "text/jinja/budget.h"
#include "text/jinja/clock.h"
#include "text/jinja/value.h"

namespace mach::jinja {

struct ParsedTemplate;

struct RenderOptions {
  Limits limits;
  Clock clock;  // for strftime_now; when empty, clock_from_environment()
};

class Template {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 20;  // of source

  // `name` is for error messages: the file. Throws mach::Error "name:line: what is wrong": kCorruptFile for bad syntax,
  // kTooLarge for a source that is too long or nests too deeply, kUnsupported for autoescape.
  static Template parse(std::string_view source, std::string name);

  // `variables` is a dict made outside of any rendering. Throws mach::Error with name and line: kInvalidRequest for
  // what the template refuses (raise_exception included) or cannot work with, kTooLarge past a limit, kUnsupported.
  std::string render(const Value& variables, const RenderOptions& options = {}) const;

  const std::string& name() const noexcept { return name_; }
  // True when the template reads a variable of this name anywhere.
  bool mentions(std::string_view variable) const noexcept;

 private:
  Template(std::string name, std::shared_ptr<const ParsedTemplate> parsed);

  std::string name_;
  std::shared_ptr<const ParsedTemplate> parsed_;
  std::vector<Value> globals_;  // the engine's, by symbol
};

}  // namespace mach::jinja
