#include "text/jinja/template.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "text/jinja/json_text.h"

namespace mach::jinja {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Value variables(const char* json) { return from_json(nullptr, nlohmann::ordered_json::parse(json)); }

std::string render(std::string_view source, const char* json = "{}", const RenderOptions& options = {}) {
  return Template::parse(source, "t.jinja").render(variables(json), options);
}

struct Outcome {
  ErrorCode code = ErrorCode::kInternal;
  std::string what = "no error";
};

Outcome failure(std::string_view source, const char* json = "{}", const RenderOptions& options = {}) {
  try {
    render(source, json, options);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

TEST(Template, ErrorNamesTemplateLineAndCause) {
  EXPECT_EQ(failure("a\nb\n{{ missing.x }}\n").what, "t.jinja:3: 'missing' is undefined");
  EXPECT_EQ(failure("{{ m.role }}\n\n{{ m.content.text.x }}", R"({"m": {"content": {}}})").what,
            "t.jinja:3: 'dict object' has no attribute 'text'");
  EXPECT_EQ(failure("\n{% if x %}\n{% endfor %}").what, "t.jinja:3: unknown tag 'endfor'");
  EXPECT_EQ(failure("{{ 1 +\n\n }}").what,
            "t.jinja:3: unexpected end of print statement, expected an expression");
}

TEST(Template, LineOfAnErrorInsideAMacroIsTheMacros) {
  EXPECT_THAT(failure("{% macro f(x) %}\n{{ x.y.z }}\n{% endmacro %}\n\n{{ f({}) }}").what,
              StartsWith("t.jinja:2:"));
  // ... and behind a finished macro the line is the caller's again.
  EXPECT_THAT(failure("{% macro f() %}\n{{ 1 }}\n{% endmacro %}\n\n{{ f() + 1 }}").what,
              StartsWith("t.jinja:5:"));
}

TEST(Template, CodesTellWhoseFaultItIs) {
  EXPECT_EQ(failure("{{ ").code, ErrorCode::kCorruptFile);
  EXPECT_EQ(failure("{% nope %}").code, ErrorCode::kCorruptFile);
  EXPECT_EQ(failure("\xff").code, ErrorCode::kCorruptFile);
  EXPECT_EQ(failure("{{ raise_exception('Only user messages') }}").code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(failure("{{ x.y.z }}").code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(failure("{% include 'other' %}").code, ErrorCode::kUnsupported);
  EXPECT_EQ(failure("{% autoescape true %}{% endautoescape %}").code, ErrorCode::kUnsupported);
  EXPECT_EQ(failure("{{ range(1000000) }}").code, ErrorCode::kTooLarge);
}

TEST(Template, RaisedMessageArrivesOnOneLine) {
  EXPECT_EQ(failure("\n{{ raise_exception('Roles must\\nalternate: ' ~ role) }}", R"({"role": "x"})").what,
            "t.jinja:2: Roles must alternate: x");
}

TEST(Template, UnknownFilterFailsOnlyWhereItIsReached) {
  EXPECT_EQ(render("{% if false %}{{ 1 | nope }}{% endif %}ok"), "ok");
  EXPECT_THAT(failure("{{ 1 | nope }}").what, HasSubstr("No filter named 'nope'."));
}

TEST(Template, VariablesWinOverTheEnginesFunctions) {
  EXPECT_EQ(render("{{ range }}", R"({"range": 5})"), "5");
}

TEST(Template, MentionsNamesThatAreRead) {
  const Template parsed = Template::parse("{% if enable_thinking %}{{ messages }}{% endif %}", "t");
  EXPECT_TRUE(parsed.mentions("enable_thinking"));
  EXPECT_FALSE(parsed.mentions("tools"));
}

TEST(Template, JsonKeepsWhatItCannotCompute) {
  EXPECT_EQ(
      render("{{ x }} {{ x | tojson }}", R"({"x": [18446744073709551615, -9223372036854775808, 1.0, 1e-7]})"),
      "[18446744073709551615, -9223372036854775808, 1.0, 1e-07] "
      "[18446744073709551615, -9223372036854775808, 1.0, 1e-07]");
}

TEST(Template, FromJsonReadsTextThatWasMeantAsAnObject) {
  EXPECT_EQ(render("{% for k, v in (args | from_json).items() %}{{ k }}={{ v | tojson }};{% endfor %}",
                   R"({"args": "{\"b\": [1, null], \"a\": \"x\"}"})"),
            "b=[1, null];a=\"x\";");
  EXPECT_THAT(failure("{{ '{' | from_json }}").what, StartsWith("t.jinja:1: from_json"));
}

TEST(Template, DoTagEvaluatesAndPrintsNothing) {
  EXPECT_EQ(render("{% set c = cycler('a', 'b') %}{% do c.next() %}{{ c.next() }}"), "b");
}

TEST(Template, OneTemplateRendersInManyThreads) {
  const Template shared = Template::parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for i in items %}{{ m(i) }}{{ names[0] ~ 'x' | upper }}{% "
      "endfor %}",
      "t");
  const Value input = variables(R"({"items": [1, 2, 3], "names": ["a", "b"]})");
  const std::string expected = "<1>aX<2>aX<3>aX";
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) wrong[t] += shared.render(input) != expected ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

// What hostile templates try. Each must end in kTooLarge, quickly and within the memory limit.
TEST(TemplateLimits, EndsEveryHostileTemplateWithAnError) {
  RenderOptions options;
  options.limits.steps = 2'000'000;
  options.limits.text_bytes = size_t{1} << 20;
  options.limits.live_bytes = size_t{16} << 20;
  const char* const kHostile[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
      "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x={}) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = ns.x | map('list') %}{% endfor "
      "%}",
      "{% set ns = namespace(x='') %}{% for i in range(9999) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
      "{{ 'x' * 999999999 }}",
      "{{ [1] * 999999999 }}",
      "{{ 'x'.center(999999999) }}",
      "{{ '%999999999d' % 1 }}",
      "{{ '{:999999999}'.format(1) }}",
      "{{ 'a' | indent(999999999, true) }}",
      "{{ [1] | tojson(indent=999999999) }}",
      "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
      "{{ ('x' * 100000).replace('', 'y' * 1000) }}",
      "{{ ('y' * 10000).join('x' * 10000) }}",
      "{{ [1] | batch(999999999, 'x') | list }}",
      "{{ [1] | slice(999999999) | list }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(x) %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f(1) %}{{ g() }}{% endcall %}{% "
      "endmacro %}{{ g() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set ns = namespace() %}{% for i in range(9999) %}{% for j in range(999) %}"
      "{% set ns.x = namespace(prev=ns.x) %}{% endfor %}{% endfor %}",
      "{% set x = [1] %}{% set ns = namespace(x=x) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] "
      "%}{% endfor %}"
      "{% set a = ns.x %}{% set ns.x = x %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor "
      "%}{{ a == ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x | tojson }}",
      "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% if (s ~ 'b') in (s ~ 'c') %}{% endif %}{% "
      "endfor %}",
      "{% set s = 'a' * 500000 %}{% for i in range(99999) %}{{ s.rfind('a' * 1000 ~ 'b') }}{% endfor %}",
      "{% set d = {} %}{% for i in range(99999) %}{% macro m() %}{% endmacro %}{{ m(**dict([('k' ~ i, i)])) "
      "}}{% endfor %}"
      "{% for a in range(99999) %}{% for b in range(99999) %}{{ m }}{% endfor %}{% endfor %}",
  };
  for (const char* source : kHostile) {
    SCOPED_TRACE(source);
    const Outcome outcome = failure(source, "{}", options);
    EXPECT_TRUE(outcome.code == ErrorCode::kTooLarge ||
                outcome.what.find("takes no keyword") != std::string::npos)
        << outcome.what;
  }
}

TEST(TemplateLimits, RefusesSourcesThatNestTooDeeply) {
  const auto repeated = [](std::string_view text, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
  };
  EXPECT_EQ(failure("{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}").code,
            ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ " + repeated("not ", 5000) + "1 }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ " + repeated("-", 5000) + "1 }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ x" + repeated(".a", 5000) + " }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ x" + repeated("|e", 5000) + " }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{{ " + repeated("1 if 1 else ", 5000) + "1 }}").code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure(repeated("{% if 1 %}", 5000)).code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure("{% for " + repeated("(", 5000)).code, ErrorCode::kTooLarge);
  EXPECT_EQ(failure(std::string(Template::kMostBytes + 1, 'x')).code, ErrorCode::kTooLarge);
}

TEST(TemplateLimits, LongChainsAreNotDeep) {
  std::string sum = "1";
  std::string branches = "{% if x == 0 %}0";
  for (int i = 1; i < 2000; ++i) {
    sum += " + 1";
    branches += "{% elif x == " + std::to_string(i) + " %}" + std::to_string(i);
  }
  EXPECT_EQ(render("{{ " + sum + " }}"), "2000");
  EXPECT_EQ(render(branches + "{% endif %}", R"({"x": 1500})"), "1500");
}

TEST(TemplateLimits, SelfReferenceNeitherLeaksNorRecurses) {
  // Namespaces, macros and scopes that hold each other; the address sanitizer would report what stays behind.
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.list = [ns] %}ok"), "ok");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in [1] %}{% set ns.loop = loop %}{{ "
                   "loop.changed([loop]) }}{% endfor %}"
                   "{{ ns.loop.index }}"),
            "True1");
  EXPECT_EQ(render("{% set ns = namespace(f=none) %}{% for i in range(3000) %}{% set before = ns.f %}"
                   "{% macro m() %}{{ before }}{% endmacro %}{% set ns.f = m %}{% endfor %}ok"),
            "ok");
  EXPECT_THAT(failure("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}").what,
              HasSubstr("contains itself"));
}

TEST(TemplateLimits, MemoryIsGivenBackWhileRendering) {
  // 20,000 texts of 10 KB pass through; never more than a few at a time.
  RenderOptions options;
  options.limits.live_bytes = size_t{1} << 20;
  EXPECT_EQ(render("{% for i in range(20000) %}{% set x = 'y' * 10000 %}{% endfor %}done", "{}", options),
            "done");
}

TEST(Clock, StrftimeFollowsTheClockGiven) {
  RenderOptions options;
  options.clock = fixed_clock(1795348800);
  EXPECT_EQ(render("{{ strftime_now('%Y-%m-%d %H:%M:%S %a %b') }}", "{}", options),
            "2026-11-22 12:00:00 Sun Nov");
  EXPECT_EQ(failure("{{ strftime_now('%Q') }}", "{}", options).code, ErrorCode::kInvalidRequest);
}

TEST(Clock, SourceDateEpochIsUtc) {
  setenv("SOURCE_DATE_EPOCH", "86399", 1);
  setenv("TZ", "Asia/Tokyo", 1);
  EXPECT_EQ(format_time(clock_from_environment()(), "%Y-%m-%d %H:%M:%S"), "1970-01-01 23:59:59");
  setenv("SOURCE_DATE_EPOCH", "tomorrow", 1);
  EXPECT_THROW(clock_from_environment(), Error);
  unsetenv("SOURCE_DATE_EPOCH");
  unsetenv("TZ");
}

}  // namespace
}  // namespace mach::jinja
