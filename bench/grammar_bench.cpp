// What does constrained decoding cost per token at a real vocabulary? Runs on the published Qwen3 tokenizer of the reference
// material (151 669 tokens), or on the demo checkpoint's where that is absent.
//   compile/*     from the schema to the automaton
//   first_masks/* a whole document with nothing cached: the price of the first request
//   token/*       mask and accept per token of a document, everything cached: the price of every later one
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/gunzip.h"
#include "support/shared_dir.h"
#include "text/grammar/compiled_grammar.h"
#include "text/grammar/json_grammar.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/matcher.h"
#include "text/tokenizer/tokenizer.h"

namespace mach::grammar {
namespace {

struct Text {
  const char* name;
  const char* schema;  // null: any object
  std::string document;
};

const std::vector<Text>& texts() {
  static const std::vector<Text> kTexts = {
      {"person",
       R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":60},"age":{"type":"integer","minimum":0,"maximum":150},
          "email":{"type":"string","format":"email"},"address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},
          "country":{"enum":["France","Germany","Spain"]}},"required":["street","city","country"]},"tags":{"type":"array","items":{"type":"string","maxLength":20},"maxItems":8},
          "note":{"type":["string","null"]}},"required":["name","age","email","address","tags","note"]})",
       R"({"name": "Jeanne-Marie Lefebvre", "age": 47, "email": "jm.lefebvre@example.org", "address": {"street": "12 rue de la Paix", "city": "Paris", "country": "France"}, "tags": ["customer", "newsletter", "vip"], "note": "Prefers to be called in the morning; speaks French, German and a little Spanish.\nLast order: \"blue chairs\"."})"},
      {"any_object", nullptr,
       R"({"title": "A longer piece of text", "items": [1, 2.5, -3e10, true, null, {"nested": ["deep", {"deeper": "still"}]}], "text": "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua."})"},
  };
  return kTexts;
}

Grammar grammar_of(const Text& text) {
  return text.schema == nullptr ? json_object_grammar()
                                : json_schema_grammar(nlohmann::ordered_json::parse(text.schema), "schema");
}

size_t follow(GrammarMatcher& matcher, const std::vector<TokenId>& ids, std::vector<uint32_t>& mask) {
  for (const TokenId id : ids) {
    matcher.fill_mask(mask);
    if (!matcher.accept(id)) throw std::runtime_error("the document does not match its grammar");
  }
  return ids.size();
}

void register_all(const std::string& tokenizer_name, const std::shared_ptr<Tokenizer>& tokenizer) {
  const auto vocabulary = TokenVocabulary::from_tokenizer(*tokenizer, {}, {});
  for (const Text& text : texts()) {
    const std::vector<TokenId> ids = tokenizer->encode(text.document, {.add_special_tokens = false});
    const auto add = [&](const std::string& kind, auto run) {
      benchmark::RegisterBenchmark((kind + "/" + tokenizer_name + "/" + text.name).c_str(), run)
          ->Unit(benchmark::kMicrosecond);
    };
    add("compile", [text, vocabulary](benchmark::State& state) {
      size_t bytes = 0;
      for (auto _ : state) bytes = CompiledGrammar::compile(grammar_of(text), vocabulary)->memory_bytes();
      state.counters["bytes"] = static_cast<double>(bytes);
    });
    add("first_masks", [text, vocabulary, ids](benchmark::State& state) {
      std::vector<uint32_t> mask(vocabulary->mask_words());
      size_t bytes = 0;
      for (auto _ : state) {
        const auto compiled = CompiledGrammar::compile(grammar_of(text), vocabulary);
        GrammarMatcher matcher(compiled);
        follow(matcher, ids, mask);
        bytes = compiled->memory_bytes();
      }
      state.counters["tokens"] = static_cast<double>(ids.size());
      state.counters["bytes"] = static_cast<double>(bytes);
    });
    add("token", [text, vocabulary, ids](benchmark::State& state) {
      std::vector<uint32_t> mask(vocabulary->mask_words());
      const auto compiled = CompiledGrammar::compile(grammar_of(text), vocabulary);
      const GrammarMatcher start(compiled);
      GrammarMatcher warm = start;
      follow(warm, ids, mask);
      size_t at = 0;
      GrammarMatcher matcher = start;
      for (auto _ : state) {
        if (at == ids.size()) {
          state.PauseTiming();
          matcher = start;
          at = 0;
          state.ResumeTiming();
        }
        matcher.fill_mask(mask);
        matcher.accept(ids[at++]);
      }
    });
  }
}

}  // namespace
}  // namespace mach::grammar

int main(int argc, char** argv) {
  using mach::Tokenizer;
  if (const auto shared = mach::testing::shared_dir()) {
    const std::string json = mach::testing::gunzip(*shared / "fixtures/tokenizers/qwen3.tokenizer.json.gz");
    mach::grammar::register_all("qwen3", std::make_shared<Tokenizer>(Tokenizer::parse(json, "qwen3")));
  } else {
    const auto demo = mach::testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json";
    mach::grammar::register_all("demo", std::make_shared<Tokenizer>(Tokenizer::open(demo)));
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
