// The conversational side of a checkpoint: its chat template and its chat format. A model without a template, or with one
// that does not parse, still loads; only a conversation with it is refused. Immutable, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mach/error.h"

#include "io/model_dir.h"
#include "text/chat/chat_format.h"
#include "text/jinja/chat_template.h"

namespace mach {

class ModelChat {
 public:
  // `model_type` of config.json tells the format where the template does not. Throws nothing for what the files say.
  static ModelChat load(const ModelDirectory& directory, std::string_view model_type);

  // Null for a dialect that mach does not know: its output is plain text.
  const ChatFormat* format() const noexcept { return format_; }

  // Throws the error with which the template was refused.
  const ChatTemplate& chat_template() const;

  // Brings messages and tools into the shape of the format, then renders. Throws Error{kInvalidRequest} naming the
  // field at fault or saying what the template refuses, and what chat_template() throws.
  std::string render(ChatPrompt prompt) const;

  // Of the format; a model may know more (generation_config.json).
  std::vector<std::string_view> end_of_turn_tokens(bool with_tools) const;

 private:
  std::optional<ChatTemplate> template_;
  std::optional<Error> refusal_;  // why there is none
  const ChatFormat* format_ = nullptr;
};

}  // namespace mach
