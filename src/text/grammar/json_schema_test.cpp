#include "text/grammar/json_schema.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "text/grammar/grammar_test_support.h"

namespace mach::grammar {
namespace {

GrammarMatcher schema_matcher(const std::string& schema) {
  return testing::matcher_of(json_schema_grammar(nlohmann::ordered_json::parse(schema), "schema"));
}

struct Case {
  const char* name;
  const char* schema;
  std::vector<std::string> accepted, refused;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"anything",
       "{}",
       {"1", "\"a\"", "[1, {\"b\":null}]", "true", "-0.5e+10"},
       {"", "01", "[1,]", "nul", "1 2"}},
      {"boolean_schemas", R"({"properties":{"a":true,"b":false}})", {R"({"a":[]})", "{}"}, {R"({"b":1})"}},
      {"types", R"({"type":["string","null"]})", {"null", "\"\""}, {"1", "{}"}},
      {"nullable", R"({"type":"integer","nullable":true})", {"null", "7"}, {"1.5"}},
      {"integer", R"({"type":"integer"})", {"0", "-7", "123456"}, {"1.0", "1e3", "00", "--1", ""}},
      {"number", R"({"type":"number"})", {"0", "-7.25", "1e3", "12.5E-10"}, {".5", "1.", "1e", "+1"}},
      {"string",
       R"({"type":"string"})",
       {R"("")", R"("a\"b\\\n\u00e9é😀\ud83d\ude00")"},
       {R"(")", R"("\x")", R"("\ud83d")", "\"\n\"", R"("\u00zz")"}},
      {"string_lengths",
       R"({"type":"string","minLength":2,"maxLength":4})",
       {R"("ab")", R"("éé\n\u0041")"},
       {R"("a")", R"("abcde")"}},
      {"long_strings", R"({"type":"string","minLength":1,"maxLength":1000000000})", {R"("a")"}, {R"("")"}},
      {"enumeration",
       R"({"enum":["red","green",3,null,{"a":[1]}]})",
       {R"("red")", R"("green")", "3", "null", R"({"a":[1]})", R"({"a": [1]})"},
       {R"("blue")", "4", R"("re")"}},
      {"enumeration_and_type",
       R"({"type":"string","enum":["a","bb",3],"minLength":2})",
       {R"("bb")"},
       {"3", R"("a")"}},
      {"constant", R"({"const":"x/y"})", {R"("x/y")"}, {R"("x")"}},
      {"minimum",
       R"({"type":"integer","minimum":18,"maximum":120})",
       {"18", "99", "100", "120"},
       {"17", "121", "1000", "-20", "1"}},
      {"negative_bounds",
       R"({"type":"integer","minimum":-5,"maximum":3})",
       {"-5", "-1", "0", "3"},
       {"-6", "4", "-0", "-10"}},
      {"only_minimum", R"({"type":"integer","minimum":10})", {"10", "123456789"}, {"9", "-10"}},
      {"only_maximum", R"({"type":"integer","exclusiveMaximum":0})", {"-1", "-300"}, {"0", "1", "-0"}},
      {"fractional_bounds",
       R"({"type":"number","minimum":0,"exclusiveMaximum":1})",
       {"0", "0.5", "0.999999"},
       {"1", "1.0", "-0.1", "0.", "2"}},
      {"fractional_bounds_2",
       R"({"type":"number","exclusiveMinimum":-1.5,"maximum":2.25})",
       {"-1.49", "-1", "0", "2.25", "2.2"},
       {"-1.5", "-1.50", "-1.6", "2.26", "2.251", "3"}},
      {"multiple_of",
       R"({"type":"integer","multipleOf":7,"minimum":0})",
       {"0", "7", "49", "700"},
       {"1", "8", "-7"}},
      {"cents", R"({"type":"number","multipleOf":0.01})", {"1", "0.5", "12.34", "-3.1"}, {"0.125"}},
      {"pattern",
       R"({"type":"string","pattern":"^[A-Z]{2}-\\d+$"})",
       {R"("AB-1")", R"("ZZ-0099")"},
       {R"("A-1")", R"("AB-")", R"("xAB-1")"}},
      {"pattern_anywhere",
       R"({"type":"string","pattern":"b+"})",
       {R"("b")", R"("abbc")"},
       {R"("ac")", R"("")"}},
      {"pattern_escaped", R"({"type":"string","pattern":"^\"\\s$"})", {R"("\" ")", R"("\"\n")"}, {R"("" ")"}},
      {"pattern_alternatives",
       R"({"type":"string","pattern":"^(foo|ba[rz]?)$|^x"})",
       {R"("foo")", R"("ba")", R"("xyz")"},
       {R"("foox")", R"("b")"}},
      {"pattern_and_length",
       R"({"type":"string","pattern":"^a*$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("aaa")"},
       {R"("a")", R"("aaaa")"}},
      {"format_date",
       R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2023-12-31")"},
       {R"("2023-02-29")", R"("2023-13-01")", R"("2023-04-31")", R"("23-01-01")"}},
      {"format_date_time",
       R"({"type":"string","format":"date-time"})",
       {R"("2024-05-06T07:08:09Z")", R"("2024-05-06T07:08:09.5+02:00")"},
       {R"("2024-05-06 07:08:09Z")"}},
      {"format_uuid",
       R"({"type":"string","format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {"format_ipv4",
       R"({"type":"string","format":"ipv4"})",
       {R"("192.168.0.255")"},
       {R"("256.1.1.1")", R"("1.2.3")"}},
      {"format_email",
       R"({"type":"string","format":"email"})",
       {R"("a.b@example.org")"},
       {R"("a.b")", R"("@x.y")"}},
      {"format_int32",
       R"({"type":"integer","format":"int32"})",
       {"2147483647", "-2147483648"},
       {"2147483648"}},
      {"object",
       R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]})",
       {R"({"a":1})", R"({"a": 1, "b": "x"})", "{\n  \"a\": 1,\n  \"b\": \"x\"\n}", R"({ "a":1 })"},
       {"{}", R"({"b":"x"})", R"({"b":"x","a":1})", R"({"a":1,})", R"({"a":1,"c":2})", R"({"a" :1})",
        R"({"a":1  })"}},
      {"optional_properties",
       R"({"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}}})",
       {"{}", R"({"a":null})", R"({"b":null,"c":null})", R"({"a":null,"c":null})"},
       {R"({,"b":null})", R"({"c":null,"a":null})"}},
      {"additional",
       R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"boolean"}})",
       {R"({"a":1,"x":true})", R"({"y":false,"z":true})", "{}", R"({"ab":true})"},
       {R"({"a":true})", R"({"x":1})", R"({"x":true,"a":1})"}},
      {"any_object", R"({"type":"object"})", {"{}", R"({"x":[1,2]})"}, {"[]"}},
      {"required_without_declaration",
       R"({"type":"object","required":["k"]})",
       {R"({"k":[]})"},
       {"{}", R"({"x":1})"}},
      {"pattern_properties",
       R"({"type":"object","patternProperties":{"^n_":{"type":"integer"},"^s_":{"type":"string"}},"additionalProperties":false})",
       {"{}", R"({"n_a":1,"s_b":"x","n_c":2})"},
       {R"({"n_a":"x"})", R"({"x":1})"}},
      {"pattern_properties_and_declared",
       R"({"properties":{"n_a":{"minimum":5}},"patternProperties":{"^n_":{"type":"integer"}}})",
       {R"({"n_a":5})", R"({"n_a":5,"n_b":1})"},
       {R"({"n_a":4})", R"({"n_b":1.5})"}},
      {"property_names",
       R"({"type":"object","propertyNames":{"pattern":"^[a-z]{1,3}$"},"additionalProperties":{"type":"integer"}})",
       {R"({"abc":1})"},
       {R"({"abcd":1})", R"({"A":1})"}},
      {"property_counts",
       R"({"properties":{"a":{"const":1},"b":{"const":1},"c":{"const":1}},"minProperties":2,"maxProperties":2})",
       {R"({"a":1,"b":1})", R"({"b":1,"c":1})"},
       {"{}", R"({"a":1})", R"({"a":1,"b":1,"c":1})"}},
      {"at_least_one",
       R"({"type":"object","additionalProperties":{"type":"integer"},"minProperties":1})",
       {R"({"a":1})"},
       {"{}"}},
      {"items",
       R"({"type":"array","items":{"type":"integer"}})",
       {"[]", "[1]", "[1, 2,3]", "[\n  1,\n  2\n]"},
       {"[1,]", "[\"a\"]", "[1 ,2]", "[,1]"}},
      {"item_counts",
       R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]"}},
      {"many_items",
       R"({"type":"array","items":{"enum":[0,1]},"minItems":0,"maxItems":100000})",
       {"[]", "[0]", "[0,1,0]"},
       {"[2]"}},
      {"prefix_items",
       R"({"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}]})",
       {"[]", R"(["a"])", R"(["a",1])"},
       {R"(["a",1,2])", "[1]"}},
      {"prefix_and_items",
       R"({"prefixItems":[{"type":"string"}],"items":{"type":"null"},"minItems":1,"maxItems":3})",
       {R"(["a"])", R"(["a",null,null])"},
       {"[]", R"(["a",null,null,null])", R"(["a","b"])"}},
      {"old_tuples",
       R"({"type":"array","items":[{"type":"string"}],"additionalItems":false})",
       {R"(["a"])", "[]"},
       {R"(["a",1])"}},
      {"any_of",
       R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"12", R"("a")"},
       {R"("ab")", "1.5"}},
      {"any_of_beside",
       R"({"type":"object","properties":{"k":{"type":"string"}},"anyOf":[{"required":["k"]},{"properties":{"n":{"type":"integer"}},"required":["n"]}]})",
       {R"({"k":"x"})", R"({"n":1})", R"({"k":"x","n":1})"},
       {"{}", R"({"n":"x"})"}},
      {"one_of", R"({"oneOf":[{"type":"string"},{"type":"integer"}]})", {"1", R"("a")"}, {"1.5"}},
      {"one_of_discriminated",
       R"({"oneOf":[{"properties":{"t":{"const":"a"},"x":{"type":"integer"}},"required":["t","x"]},{"properties":{"t":{"const":"b"},"x":{"type":"string"}},"required":["t"]}]})",
       {R"({"t":"a","x":1})", R"({"t":"b","x":"y"})", R"({"t":"b"})"},
       {R"({"t":"a"})", R"({"t":"a","x":"y"})"}},
      {"all_of",
       R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"},"a":{"minimum":3}}}]})",
       {R"({"a":3})", R"({"a":3,"b":""})"},
       {R"({"a":2})", R"({"b":""})"}},
      {"all_of_closed",
       R"({"allOf":[{"properties":{"a":true},"additionalProperties":false},{"properties":{"b":true}}]})",
       {R"({"a":1})", "{}"},
       {R"({"b":1})"}},
      {"references",
       R"({"$defs":{"pos":{"type":"integer","minimum":1}},"properties":{"a":{"$ref":"#/$defs/pos"},"b":{"$ref":"#/$defs/pos","maximum":5}}})",
       {R"({"a":9,"b":5})"},
       {R"({"a":0})", R"({"b":6})"}},
      {"escaped_pointers", R"({"$defs":{"a/b~c d":{"const":1}},"$ref":"#/$defs/a~1b~0c%20d"})", {"1"}, {"2"}},
      {"recursion",
       R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"]}},"$ref":"#/$defs/n"})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{}})"}},
      {"root_recursion", R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
      {"annotations",
       R"({"title":"t","description":"d","default":1,"examples":[1],"x-order":3,"type":"null"})",
       {"null"},
       {"1"}},
      {"names_to_escape",
       R"({"properties":{"a\"b\\\n":{"type":"null"}},"required":["a\"b\\\n"]})",
       {R"({"a\"b\\\n":null})"},
       {"{}"}},
  };
  return kCases;
}

class SchemaCases : public ::testing::TestWithParam<Case> {};

TEST_P(SchemaCases, AcceptsAndRefuses) {
  const GrammarMatcher matcher = schema_matcher(GetParam().schema);
  for (const std::string& text : GetParam().accepted) EXPECT_TRUE(testing::accepts(matcher, text)) << text;
  for (const std::string& text : GetParam().refused) EXPECT_FALSE(testing::accepts(matcher, text)) << text;
}

INSTANTIATE_TEST_SUITE_P(All, SchemaCases, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

struct Refusal {
  std::string schema;
  const char* message;
};

void expect_refusal(const Refusal& refusal) {
  try {
    Automaton::compile(json_schema_grammar(nlohmann::ordered_json::parse(refusal.schema), "schema"));
    ADD_FAILURE() << "accepted: " << refusal.schema.substr(0, 200);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidRequest);
    EXPECT_NE(std::string(e.what()).find(refusal.message), std::string::npos)
        << refusal.schema.substr(0, 200) << ": " << e.what();
  }
}

TEST(JsonSchema, RefusesWhatItCannotEnforceNamingThePlace) {
  for (
      const Refusal& refusal : std::vector<Refusal>{
          {R"({"properties":{"a/b":{"uniqueItems":true}}})",
           "schema#/properties/a~1b/uniqueItems: keyword \"uniqueItems\""},
          {R"({"not":{"type":"null"}})", "schema#/not: keyword \"not\" cannot be enforced"},
          {R"({"if":{},"then":{}})", "schema#/if: keyword"},
          {R"({"items":{"contains":{}}})", "schema#/items/contains: keyword"},
          {R"({"dependentRequired":{}})", "schema#/dependentRequired"},
          {R"({"unevaluatedProperties":false})", "schema#/unevaluatedProperties"},
          {R"({"type":"string","maxLenght":3})",
           "schema#/maxLenght: keyword \"maxLenght\" cannot be enforced"},
          {R"({"type":"text"})", "schema#/type: \"text\" is no type"},
          {R"({"format":"color"})", "schema#/format: format \"color\" cannot be enforced"},
          {R"({"pattern":"(?=a)b"})", "schema#/pattern: pattern cannot be enforced: look-around"},
          {R"({"pattern":"(a)\\1"})", "back references"},
          {R"({"pattern":"[a-"})", "unfinished ["},
          {R"({"pattern":"\\bword"})", "word boundary"},
          {R"({"minLength":-1})", "schema#/minLength: must be a whole number"},
          {R"({"multipleOf":0.3,"type":"number"})", "schema#/multipleOf: multipleOf 0.3 cannot be enforced"},
          {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})",
           "schema#/oneOf: oneOf cannot be enforced: alternatives 0 and 1"},
          {R"({"oneOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":true,"b":true}})",
           "may both hold"},
          {R"({"$ref":"http://example.org/schema"})",
           "schema#/$ref: \"http://example.org/schema\" cannot be followed"},
          {R"({"$ref":"#/$defs/none"})", "leads nowhere"},
          {R"({"$ref":"#"})", "circle"},
          {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})", "circle"},
          {R"({"$defs":{"a":{"type":"object","properties":{"x":{"$ref":"#/$defs/a"}},"required":["x"]}},"$ref":"#/$defs/a"})",
           "no text can match"},
          {R"({"minimum":3,"maximum":2,"type":"integer"})", "no text can match"},
          {R"({"properties":{"a":3}})", "schema#/properties/a: a schema must be an object or a boolean"},
          {"[]", "schema#: a schema must be an object"},
          {R"({"required":"a"})", "list of names"},
          {R"({"type":"object","minProperties":2})", "minProperties above 1"},
      }) {
    expect_refusal(refusal);
  }
}

std::string repeated(const std::string& unit, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += (i > 0 ? "," : "") + unit;
  return out;
}

TEST(JsonSchema, HostileSchemasEndWithAnErrorOrAGrammar) {
  expect_refusal({R"({"pattern":"^(a|b)*a(a|b){30}$"})", "pattern cannot be enforced"});
  expect_refusal({R"x({"pattern":"((((a{1000}){1000}){1000}){1000})"})x", "too large"});
  expect_refusal({R"({"pattern":")" + std::string(5000, 'a') + R"("})", "longer than"});
  expect_refusal({R"({"pattern":"^a","maxLength":900000})", "too complex"});
  std::string nested = "{}";
  for (int i = 0; i < 60; ++i) nested = R"({"items":)" + nested + "}";
  EXPECT_NO_THROW(schema_matcher(nested));
  for (int i = 0; i < 60; ++i) nested = R"({"items":)" + nested + "}";
  expect_refusal({nested, "nested deeper than 100 levels"});
  // 8 choices of 10, all multiplied out.
  const std::string choice = R"({"anyOf":[)" + repeated(R"({"type":"integer"},{"type":"string"})", 5) + "]}";
  expect_refusal({R"({"allOf":[)" + repeated(choice, 8) + "]}", "too large"});
  // References that double at each step.
  std::string defs = R"("d0":{"type":"integer"})";
  for (int i = 1; i < 40; ++i) {
    const std::string below = R"({"$ref":"#/$defs/d)" + std::to_string(i - 1) + "\"}";
    defs += ",\"d" + std::to_string(i) + R"(":{"type":"array","prefixItems":[)" + below + "," + below +
            R"(],"minItems":2})";
  }
  EXPECT_NO_THROW(schema_matcher(R"({"$defs":{)" + defs + R"(},"$ref":"#/$defs/d39"})"));
  std::string words;
  for (int i = 0; i < 10'000; ++i) words += (i > 0 ? ",\"w" : "\"w") + std::to_string(i * 7919) + "\"";
  const GrammarMatcher many = schema_matcher(R"({"enum":[)" + words + "]}");
  EXPECT_TRUE(testing::accepts(many, "\"w7919\""));
  EXPECT_FALSE(testing::accepts(many, "\"w7918\""));
}

}  // namespace
}  // namespace mach::grammar
