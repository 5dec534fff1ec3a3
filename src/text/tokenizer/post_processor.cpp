#include "text/tokenizer/post_processor.h"

#include <string>

#include <fmt/format.h>

namespace mach {
namespace {

void append_special(const Component& component, const Component& tokens, const std::string& name,
                    size_t id_limit, std::vector<TokenId>& out) {
  if (!tokens.has(name.c_str())) {
    component.fail_corrupt("special_tokens", fmt::format("an entry for '{}', which the template uses", name));
  }
  const Component entry = tokens.child(name.c_str());
  const nlohmann::json& ids =
      entry.value().is_object() ? entry.value().value("ids", nlohmann::json()) : entry.value();
  if (!ids.is_array()) entry.fail_corrupt("ids", "an array of token ids");
  for (const nlohmann::json& id : ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= id_limit) {
      entry.fail_corrupt("ids", fmt::format("ids below {}", id_limit));
    }
    out.push_back(id.get<TokenId>());
  }
}

void add_template(const Component& component, size_t id_limit, PostProcessor& into) {
  PostProcessor own;
  bool text_seen = false;
  for (const Component& piece : component.children("single")) {
    if (piece.has("Sequence")) {
      if (piece.child("Sequence").string("id") != "A" || text_seen) {
        component.fail_unsupported("single", "the text must stand in it once, as sequence A");
      }
      text_seen = true;
    } else {
      const std::string name = piece.child("SpecialToken").string("id");
      append_special(component, component.child("special_tokens"), name, id_limit,
                     text_seen ? own.after : own.before);
    }
  }
  if (!text_seen) component.fail_unsupported("single", "the text must stand in it once, as sequence A");
  into.before.insert(into.before.begin(), own.before.begin(), own.before.end());
  into.after.insert(into.after.end(), own.after.begin(), own.after.end());
}

void add(const Component& component, size_t id_limit, int depth, PostProcessor& into) {
  const std::string type = component.type();
  if (type == "Sequence") {
    if (depth == kMaxSequenceDepth) component.fail_unsupported("type", "Sequences may not nest deeper");
    for (const Component& child : component.children("processors")) add(child, id_limit, depth + 1, into);
  } else if (type == "TemplateProcessing") {
    add_template(component, id_limit, into);
  } else if (type != "ByteLevel") {
    component.fail_unsupported("type", "supported are TemplateProcessing, ByteLevel and Sequence");
  }
}

}  // namespace

PostProcessor PostProcessor::parse(const Component& component, size_t id_limit) {
  PostProcessor result;
  if (!component.is_null()) add(component, id_limit, 0, result);
  return result;
}

}  // namespace mach
