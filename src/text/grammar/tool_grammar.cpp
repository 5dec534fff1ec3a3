#include "text/grammar/tool_grammar.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/chat/tool_schemas.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/schema_compiler.h"

namespace mach::grammar {
namespace {

constexpr uint32_t kMaxParallelCalls = 64;
constexpr uint32_t kMaxFreeParameters = 64;
constexpr std::string_view kDsml = "｜DSML｜";

// Runs `build` if the tool's arguments are bound and can be; else there is nothing, and an error if it is strict. What a
// failed attempt leaves behind in the builder must not be used: it is made in a builder of its own first.
bool can_bind(const ToolUse& tool) {
  if (!tool.bound || tool.parameters == nullptr) return false;
  if (tool.strict) return true;
  try {
    json_schema_grammar(*tool.parameters, tool.where);
    return true;
  } catch (const Error&) {
    return false;
  }
}

ExprId json_arguments(ChatSyntax& syntax, JsonGrammar& json, const ToolUse& tool) {
  if (!can_bind(tool)) return json.object();
  return json_schema_expression(syntax.builder(), json, *tool.parameters, tool.where);
}

// Names become part of the syntax; one that would end it early cannot be written.
const std::string& checked_name(const std::string& name, std::string_view forbidden, std::string_view what) {
  if (name.empty() || name.find_first_of(forbidden) != std::string::npos ||
      name.find('\n') != std::string::npos) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("tools: {} \"{}\" cannot be written in this model's call format", what, name));
  }
  return name;
}

ExprId several(GrammarBuilder& b, ExprId call, ExprId separator, bool parallel) {
  if (!parallel) return call;
  return b.sequence({call, b.repeat(b.sequence({separator, call}), 0, kMaxParallelCalls - 1)});
}

template <class Call>
ExprId one_of(GrammarBuilder& b, const std::vector<ToolUse>& tools, Call call) {
  std::vector<ExprId> ways;
  ways.reserve(tools.size());
  for (const ToolUse& tool : tools) ways.push_back(call(tool));
  return b.choice(std::move(ways));
}

ExprId qwen_json_calls(ChatSyntax& syntax, JsonGrammar& json, const std::vector<ToolUse>& tools,
                       bool parallel) {
  GrammarBuilder& b = syntax.builder();
  const ExprId call = one_of(b, tools, [&](const ToolUse& tool) {
    return b.sequence({b.bytes(fmt::format("\n{{\"name\": {}, \"arguments\": ", Json(tool.name).dump())),
                       json_arguments(syntax, json, tool), b.bytes("}\n")});
  });
  return several(b, b.sequence({syntax.marker("<tool_call>"), call, syntax.marker("</tool_call>")}),
                 b.bytes("\n"), parallel);
}

// Parameters that are written one by one.
struct Parameter {
  std::string name;
  bool required = false;
  SchemaNode node;
  Conjunction schema;
  const Json* raw = nullptr;
};

std::vector<Parameter> parameters_of(const SchemaDocument& document) {
  const SchemaNode node = document.read({{document.root()}, {}});
  if (!node.alternatives.empty() || node.values || node.min_properties > node.required.size()) {
    document.refuse("",
                    "in this model's call format only properties can be enforced at the top of parameters");
  }
  std::vector<Parameter> out;
  for (const ObjectPart& part : node.objects) {
    for (const auto& [name, schema] : part.properties) {
      Parameter parameter{name, node.requires_property(name), {}, node.property(name), schema.schema};
      parameter.node = document.read(parameter.schema);
      if (!parameter.node.never) out.push_back(std::move(parameter));
    }
  }
  for (const TextRule& rule : node.required) {
    if (std::none_of(out.begin(), out.end(), [&](const Parameter& p) { return p.name == rule.text; })) {
      document.refuse(rule.where, fmt::format("required property \"{}\" is not declared", rule.text));
    }
  }
  return out;
}

// The texts of a parameter that is a string and nothing else, as they stand between the tags.
CharDfa raw_texts(SchemaCompiler& compiler, const SchemaNode& node,
                  const std::vector<std::string>& forbidden) {
  CharDfa texts = compiler.strings(node);
  for (const std::string& text : forbidden) texts = texts.without(CharDfa::containing(text));
  return texts;
}

// Calls `write` for each parameter; required ones come always, all in declared order.
template <class Write>
ExprId in_order(GrammarBuilder& b, const std::vector<Parameter>& parameters, Write write) {
  std::vector<ExprId> parts;
  for (const Parameter& parameter : parameters) {
    const ExprId expr = write(parameter);
    parts.push_back(parameter.required ? expr : b.optional(expr));
  }
  return b.sequence(std::move(parts));
}

// Every text that spells null is read as null, whatever the type.
const std::vector<std::string>& null_words() {
  static const std::vector<std::string> kWords = [] {
    std::vector<std::string> words;
    for (int upper = 0; upper < 16; ++upper) {
      std::string word = "null";
      for (size_t i = 0; i < 4; ++i) {
        if (((upper >> i) & 1) != 0) word[i] = static_cast<char>(word[i] - 'a' + 'A');
      }
      words.push_back(word);
    }
    return words;
  }();
  return kWords;
}

ExprId qwen_xml_calls(ChatSyntax& syntax, JsonGrammar& json, const std::vector<ToolUse>& tools,
                      bool parallel) {
  GrammarBuilder& b = syntax.builder();
  const std::vector<std::string> forbidden = {"</parameter>", "<parameter=", "</function>", "</tool_call>",
                                              "<tool_call>"};
  const auto body = [&](const ToolUse& tool) -> ExprId {
    const ExprId close = b.bytes("\n</parameter>\n");
    if (!can_bind(tool)) {
      const CharSet name = CharSet::range(U'a', U'z').add(U'A', U'Z').add(U'0', U'9').add(U'_').add(U'-');
      CharDfa texts = CharDfa::all();
      for (const std::string& text : forbidden) texts = texts.without(CharDfa::containing(text));
      const ExprId any = b.sequence({b.bytes("<parameter="), b.repeat(b.chars(name), 1, 64), b.bytes(">\n"),
                                     string_expression(b, texts, StringEncoding::kRaw), close});
      return b.repeat(any, 0, kMaxFreeParameters);
    }
    const SchemaDocument document(*tool.parameters, tool.where);
    SchemaCompiler compiler(b, json, document);
    const ExprId parameters = in_order(b, parameters_of(document), [&](const Parameter& parameter) {
      ExprId value;
      if (argument_type(*parameter.raw, *tool.parameters).kind != ArgumentKind::kText) {
        value = compiler.value(parameter.schema);
      } else {
        const CharDfa texts =
            raw_texts(compiler, parameter.node, forbidden).without(CharDfa::words(null_words()));
        value = string_expression(b, texts, StringEncoding::kRaw);
      }
      return b.sequence(
          {b.bytes("<parameter=" + checked_name(parameter.name, ">", "parameter") + ">\n"), value, close});
    });
    compiler.finish();
    return parameters;
  };
  const ExprId function = one_of(b, tools, [&](const ToolUse& tool) {
    return b.sequence({b.bytes("\n<function=" + checked_name(tool.name, ">", "function") + ">\n"), body(tool),
                       b.bytes("</function>\n")});
  });
  return several(b, b.sequence({syntax.marker("<tool_call>"), function, syntax.marker("</tool_call>")}),
                 b.bytes("\n"), parallel);
}

ExprId dsml_calls(ChatSyntax& syntax, JsonGrammar& json, const std::vector<ToolUse>& tools, bool parallel) {
  GrammarBuilder& b = syntax.builder();
  const auto tag = [&](const std::string& text) { return syntax.text_with(text, kDsml); };
  const std::vector<std::string> forbidden = {"</｜DSML｜parameter>", "</DSML｜parameter>"};
  const ExprId close = tag("</｜DSML｜parameter>\n");
  const auto open = [&](const std::string& name, bool text) {
    return tag(fmt::format("<｜DSML｜parameter name=\"{}\" string=\"{}\">", name, text));
  };
  const auto body = [&](const ToolUse& tool) -> ExprId {
    if (!can_bind(tool)) {
      CharDfa texts = CharDfa::all();
      for (const std::string& text : forbidden) texts = texts.without(CharDfa::containing(text));
      const CharSet name = CharSet::range(U'a', U'z').add(U'A', U'Z').add(U'0', U'9').add(U'_').add(U'-');
      const ExprId any_name = b.repeat(b.chars(name), 1, 64);
      const ExprId any = b.sequence(
          {tag("<｜DSML｜parameter name=\""), any_name, b.bytes("\" string=\""),
           b.choice({b.sequence({b.bytes("true\">"), string_expression(b, texts, StringEncoding::kRaw)}),
                     b.sequence({b.bytes("false\">"), json.value()})}),
           close});
      return b.repeat(any, 0, kMaxFreeParameters);
    }
    const SchemaDocument document(*tool.parameters, tool.where);
    SchemaCompiler compiler(b, json, document);
    const ExprId parameters = in_order(b, parameters_of(document), [&](const Parameter& parameter) {
      const std::string& name = checked_name(parameter.name, "\"<>", "parameter");
      const bool text = parameter.node.types == kString && parameter.node.alternatives.empty();
      const ExprId value =
          text ? string_expression(b, raw_texts(compiler, parameter.node, forbidden), StringEncoding::kRaw)
               : compiler.value(parameter.schema);
      return b.sequence({open(name, text), value, close});
    });
    compiler.finish();
    return parameters;
  };
  const ExprId invoke = one_of(b, tools, [&](const ToolUse& tool) {
    return b.sequence(
        {tag(fmt::format("<｜DSML｜invoke name=\"{}\">\n", checked_name(tool.name, "\"<>", "function"))),
         body(tool), tag("</｜DSML｜invoke>\n")});
  });
  return b.sequence({tag("<｜DSML｜tool_calls>\n"),
                     parallel ? b.repeat(invoke, 1, kMaxParallelCalls) : invoke,
                     tag("</｜DSML｜tool_calls>")});
}

ExprId gemma_calls(ChatSyntax& syntax, JsonGrammar&, const std::vector<ToolUse>& tools, bool parallel) {
  constexpr std::string_view kQuote = "<|\"|>";
  GrammarBuilder& b = syntax.builder();
  JsonGrammar spelled(b, ValueSpelling{.quote = syntax.marker(kQuote),
                                       .quote_text = syntax.is_token(kQuote) ? "" : std::string(kQuote)});
  const ExprId call = one_of(b, tools, [&](const ToolUse& tool) {
    return b.sequence({b.bytes("call:" + checked_name(tool.name, "{}: ", "function")),
                       json_arguments(syntax, spelled, tool)});
  });
  return several(b, b.sequence({syntax.marker("<|tool_call>"), call, syntax.marker("<tool_call|>")}),
                 b.empty(), parallel);
}

ExprId harmony_calls(ChatSyntax& syntax, JsonGrammar& json, const std::vector<ToolUse>& tools, bool) {
  GrammarBuilder& b = syntax.builder();
  const ExprId call = one_of(b, tools, [&](const ToolUse& tool) {
    return b.sequence({b.bytes("commentary to=functions." + checked_name(tool.name, " <", "function") + " "),
                       syntax.marker("<|constrain|>"), b.bytes("json"), syntax.marker("<|message|>"),
                       json_arguments(syntax, json, tool)});
  });
  return b.sequence({syntax.marker("<|channel|>"), call, syntax.marker("<|call|>")});
}

}  // namespace

ExprId ChatSyntax::marker(std::string_view text) {
  const TokenId id = marker_id_ ? marker_id_(text) : -1;
  return id >= 0 ? b_.token(id) : b_.bytes(text);
}

ExprId ChatSyntax::text_with(std::string_view text, std::string_view inner) {
  std::vector<ExprId> parts;
  for (size_t at = text.find(inner); at != std::string_view::npos; at = text.find(inner)) {
    if (at > 0) parts.push_back(b_.bytes(text.substr(0, at)));
    parts.push_back(marker(inner));
    text.remove_prefix(at + inner.size());
  }
  if (!text.empty()) parts.push_back(b_.bytes(text));
  return b_.sequence(std::move(parts));
}

ExprId ChatSyntax::free_text(std::vector<std::string_view> forbidden) {
  std::erase_if(forbidden, [this](std::string_view text) { return is_token(text); });
  if (forbidden.empty()) return b_.repeat(b_.chars(CharSet::all()), 0, kUnbounded);
  CharDfa texts = CharDfa::all();
  for (const std::string_view text : forbidden) texts = texts.without(CharDfa::containing(text));
  return string_expression(b_, texts, StringEncoding::kRaw);
}

const ToolFormat* find_tool_format(std::string_view chat_format) {
  static const std::vector<ToolFormat> kFormats = {
      {"qwen_json", {"<tool_call>", "<function="}, qwen_json_calls},
      {"qwen_xml", {"<tool_call>", "<function="}, qwen_xml_calls},
      {"gemma4", {"<|tool_call>"}, gemma_calls},
      {"dsml", {"<｜DSML｜", "<DSML｜"}, dsml_calls},
      {"harmony", {}, harmony_calls},
  };
  for (const ToolFormat& format : kFormats) {
    if (format.name == chat_format) return &format;
  }
  return nullptr;
}

}  // namespace mach::grammar
