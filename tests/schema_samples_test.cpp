// Random schemas, random documents that their grammars admit: an independent validator (python3-jsonschema) must accept
// every one. What the grammar leaves out of what a schema accepts is not this test's matter (json_schema.h says what).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "support/shared_dir.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "text/grammar/grammar_test_support.h"
#include "text/grammar/json_schema.h"

namespace mach::grammar {
namespace {

using Json = nlohmann::ordered_json;

// Schemas of a few levels out of the keywords that mach enforces.
class SchemaMaker {
 public:
  explicit SchemaMaker(uint32_t seed) : random_(seed) {}

  Json document() {
    Json schema = value(3);
    if (!schema.is_object()) schema = {{"anyOf", {schema}}};
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    schema["$defs"] = {
        {"list",
         {{"type", "object"},
          {"properties", {{"head", {{"type", "integer"}}}, {"tail", {{"$ref", "#/$defs/list"}}}}},
          {"required", {"head"}},
          {"additionalProperties", false}}},
        {"name", {{"type", "string"}, {"minLength", 1}, {"maxLength", 9}}}};
    return schema;
  }

 private:
  uint32_t below(uint32_t n) { return random_() % n; }
  bool sometimes() { return below(2) == 0; }

  Json value(int depth) {
    using Make = Json (SchemaMaker::*)(int);
    constexpr Make kLeaves[] = {&SchemaMaker::integer, &SchemaMaker::number,  &SchemaMaker::string,
                                &SchemaMaker::pattern, &SchemaMaker::choice,  &SchemaMaker::constant,
                                &SchemaMaker::format,  &SchemaMaker::several, &SchemaMaker::reference};
    constexpr Make kBranches[] = {&SchemaMaker::object, &SchemaMaker::object, &SchemaMaker::array,
                                  &SchemaMaker::tuple,  &SchemaMaker::any_of, &SchemaMaker::one_of,
                                  &SchemaMaker::all_of, &SchemaMaker::map};
    if (depth > 0 && below(3) != 0) return (this->*kBranches[below(std::size(kBranches))])(depth - 1);
    return (this->*kLeaves[below(std::size(kLeaves))])(depth);
  }

  Json integer(int /*depth*/) {
    Json schema = {{"type", "integer"}};
    const int64_t low = static_cast<int64_t>(below(4000)) - 2000;
    if (sometimes()) schema[sometimes() ? "minimum" : "exclusiveMinimum"] = low;
    if (sometimes()) schema[sometimes() ? "maximum" : "exclusiveMaximum"] = low + 2 + below(3000);
    return schema;
  }
  Json number(int /*depth*/) {
    Json schema = {{"type", "number"}};
    const double low = (static_cast<double>(below(4000)) - 2000) / 8;
    if (sometimes()) schema[sometimes() ? "minimum" : "exclusiveMinimum"] = low;
    if (sometimes()) schema[sometimes() ? "maximum" : "exclusiveMaximum"] = low + 0.5 + below(300);
    return schema;
  }
  Json string(int /*depth*/) {
    Json schema = {{"type", "string"}};
    const uint32_t low = below(6);
    if (sometimes()) schema["minLength"] = low;
    if (sometimes()) schema["maxLength"] = low + below(20);
    return schema;
  }
  Json pattern(int /*depth*/) {
    constexpr const char* kPatterns[] = {"^[a-z]+$",    "^\\d{3}-\\d{2}$", "ab",
                                         "^(foo|bar)+", "[A-F0-9]{2,4}$",  "^a.?b*c$"};
    Json schema = {{"type", "string"}, {"pattern", kPatterns[below(std::size(kPatterns))]}};
    if (sometimes()) schema["maxLength"] = 6 + below(20);
    return schema;
  }
  Json format(int /*depth*/) {
    constexpr const char* kFormats[] = {"date", "time", "email", "ipv4", "ipv6", "uuid", "date-time"};
    return {{"type", "string"}, {"format", kFormats[below(std::size(kFormats))]}};
  }
  Json choice(int /*depth*/) {
    const Json all[] = {"red",         "green",          3, -1.5, nullptr, true, {{"k", {1, "x"}}},
                        Json::array(), "quote \" and \\"};
    Json values = Json::array();
    for (uint32_t i = 0, n = 1 + below(4); i < n; ++i) values.push_back(all[below(std::size(all))]);
    return {{"enum", values}};
  }
  Json constant(int /*depth*/) { return {{"const", sometimes() ? Json("x/y") : Json(below(100))}}; }
  Json several(int /*depth*/) { return {{"type", {"null", "boolean", sometimes() ? "integer" : "string"}}}; }
  Json reference(int /*depth*/) { return {{"$ref", sometimes() ? "#/$defs/list" : "#/$defs/name"}}; }

  Json object(int depth) {
    constexpr const char* kNames[] = {"a", "id", "name", "na", "x-y", "with space", "\u00e9t\u00e9"};
    Json schema = {{"type", "object"}, {"properties", Json::object()}};
    Json required = Json::array();
    for (uint32_t i = 0, n = below(5); i < n; ++i) {
      const char* name = kNames[below(std::size(kNames))];
      if (schema["properties"].contains(name)) continue;
      schema["properties"][name] = value(depth);
      if (sometimes()) required.push_back(name);
    }
    if (!required.empty()) schema["required"] = required;
    if (sometimes()) schema["additionalProperties"] = sometimes() ? Json(false) : value(0);
    const uint32_t least = below(3);
    if (below(4) == 0) schema["minProperties"] = least;
    if (below(4) == 0) schema["maxProperties"] = std::max<size_t>(least, required.size()) + below(3);
    return schema;
  }
  Json map(int depth) {
    Json schema = {{"type", "object"}, {"additionalProperties", value(depth)}};
    if (sometimes()) schema["propertyNames"] = {{"pattern", "^[a-c]{1,3}$"}};
    return schema;
  }
  Json array(int depth) {
    Json schema = {{"type", "array"}, {"items", value(depth)}};
    const uint32_t low = below(3);
    if (sometimes()) schema["minItems"] = low;
    if (sometimes()) schema["maxItems"] = low + below(4);
    return schema;
  }
  Json tuple(int depth) {
    Json schema = {{"type", "array"}, {"prefixItems", {value(depth), value(depth)}}};
    if (sometimes()) schema["items"] = sometimes() ? Json(false) : value(0);
    if (sometimes()) schema["minItems"] = below(3);
    return schema;
  }
  Json any_of(int depth) { return {{"anyOf", {value(depth), value(depth)}}}; }
  Json one_of(int depth) {
    return {{"oneOf",
             {{{"type", "object"},
               {"properties", {{"kind", {{"const", "p"}}}, {"v", value(depth)}}},
               {"required", {"kind"}}},
              {{"type", "object"},
               {"properties", {{"kind", {{"const", "q"}}}, {"w", value(depth)}}},
               {"required", {"kind", "w"}}},
              {{"type", "array"}, {"items", value(depth)}}}}};
  }
  Json all_of(int depth) { return {{"allOf", {integer(depth), {{"type", {"integer", "string"}}}}}}; }

  std::mt19937 random_;
};

constexpr size_t kMostBytes = 3000;

// A random text of the grammar. Soon after its beginning it hurries to the end: closing characters are taken where they
// may stand. None if it has not ended after kMostBytes.
std::optional<std::string> random_document(GrammarMatcher matcher, std::mt19937& random) {
  std::vector<uint32_t> mask(matcher.grammar().vocabulary().mask_words());
  std::string text;
  const size_t patience = random() % 120;
  while (text.size() < kMostBytes) {
    matcher.fill_mask(mask);
    const std::vector<TokenId> ids = testing::allowed_ids(mask);
    EXPECT_FALSE(ids.empty()) << "no way on after " << text;
    if (ids.empty()) return std::nullopt;
    TokenId id = ids[random() % ids.size()];
    if (text.size() >= patience) {
      for (const TokenId closing : {testing::kByteStop, TokenId{'}'}, TokenId{']'}, TokenId{'"'}}) {
        if (std::ranges::find(ids, closing) != ids.end() && random() % 4 != 0) {
          id = closing;
          break;
        }
      }
    }
    EXPECT_TRUE(matcher.accept(id));
    if (id == testing::kByteStop) return text;
    text += static_cast<char>(id);
  }
  return std::nullopt;
}

TEST(SchemaSamples, AnIndependentValidatorAcceptsWhatTheGrammarAdmits) {
  constexpr uint32_t kSchemas = 400;
  constexpr int kDocuments = 8;
  std::string lines;
  size_t schemas = 0;
  size_t documents = 0;
  for (uint32_t seed = 0; seed < kSchemas; ++seed) {
    const Json schema = SchemaMaker(seed).document();
    std::optional<GrammarMatcher> matcher;
    try {
      matcher = testing::matcher_of(json_schema_grammar(schema, "schema"));
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInvalidRequest) << schema << ": " << error.what();
      continue;  // no document can match, or it asks for more than can be enforced
    }
    ++schemas;
    std::mt19937 random(seed);
    for (int i = 0; i < kDocuments; ++i) {
      if (const auto text = random_document(*matcher, random)) {
        lines += Json::array({schema, *text}).dump() + "\n";
        ++documents;
      }
    }
  }
  EXPECT_GT(schemas, kSchemas * 3 / 4) << "few of the schemas were taken";
  EXPECT_GT(documents, schemas * kDocuments * 3 / 4) << "few documents ended";

  const mach::testing::TempDir folder;
  const auto file = folder.write("pairs.jsonl", lines);
  const auto run = mach::testing::run_program(
      {"/usr/bin/env", "python3", (mach::testing::source_dir() / "scripts/check-schema.py").string(),
       "--pairs", file.string()});
  if (run.status == 3) GTEST_SKIP() << run.out;
  EXPECT_EQ(run.status, 0) << (run.out + run.err);
  std::printf("%zu schemas, %zu documents\n", schemas, documents);
}

}  // namespace
}  // namespace mach::grammar
