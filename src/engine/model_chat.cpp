#include "engine/model_chat.h"

#include <utility>

#include "text/chat/messages.h"

namespace mach {

ModelChat ModelChat::load(const ModelDirectory& directory, std::string_view model_type) {
  ModelChat chat;
  try {
    chat.template_ = ChatTemplate::load(directory);
  } catch (const Error& e) {
    chat.refusal_ = e;
  }
  const std::string_view source = chat.template_ ? chat.template_->source(true) : std::string_view();
  chat.format_ = detect_chat_format(model_type, source);
  return chat;
}

const ChatTemplate& ModelChat::chat_template() const {
  if (!template_) throw Error(*refusal_);
  return *template_;
}

std::string ModelChat::render(ChatPrompt prompt) const {
  const ChatTemplate& source = chat_template();
  if (format_ != nullptr) prompt.messages = normalise_messages(prompt.messages, *format_);
  prompt.tools = normalise_tools(prompt.tools);
  return source.render(prompt);
}

std::vector<std::string_view> ModelChat::end_of_turn_tokens(bool with_tools) const {
  if (format_ == nullptr) return {};
  return stop_tokens(*format_, with_tools);
}

}  // namespace mach
