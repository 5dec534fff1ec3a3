// The loaded model as requests see it: under which name, with which defaults, and how a request becomes jobs for the engine
// loop. Immutable, thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/loaded_engine.h"
#include "server/chat_task.h"
#include "server/job_queue.h"
#include "server/reply_parser.h"
#include "text/grammar/output_constraint.h"

namespace mach::server {

// What one HTTP request asks of the engine loop, and a parser for each choice: those of the first request, those of the
// second, and so on. `keep` owns what the parsers point to.
struct PreparedJobs {
  std::vector<EngineRequest> requests;  // without sinks
  std::vector<ReplyParserOptions> parsers;
  std::shared_ptr<const void> keep;
};

class ServedModel {
 public:
  // The engine must outlive it.
  ServedModel(const LoadedEngine& engine, std::string id);

  const std::string& id() const noexcept { return id_; }
  int64_t created() const noexcept { return created_; }  // seconds since 1970
  // Changes when answers of the same seed may: program version, checkpoint, numerics, kernels.
  const std::string& fingerprint() const noexcept { return fingerprint_; }
  const LoadedEngine& engine() const noexcept { return engine_; }
  uint32_t context_length() const noexcept { return engine_.info().context_length; }

  // The text of the prompt. Throws Error{kInvalidRequest} naming the message or field.
  std::string render(const ChatTask& task) const;

  // `call_id` names tool calls; it is copied for each choice.
  PreparedJobs prepare_chat(const ChatTask& task, const CallIdGenerator& call_id) const;
  PreparedJobs prepare_completion(std::vector<TokenId> prompt, const GenerationRequest& request) const;
  // Only brings the prompt into the prefix cache.
  PreparedJobs prepare_warming(std::vector<TokenId> prompt) const;

  // Throws Error{kInvalidRequest} naming `field` for ids without a row in the vocabulary.
  void check_ids(std::span<const TokenId> ids, const std::string& field) const;

 private:
  // What holds the answer to the form that was asked for; null where none was.
  std::unique_ptr<TokenConstraint> constraint_for(const ChatTask& task, bool starts_in_reasoning) const;
  void append_prefill(std::string& text, const ChatTask& task) const;
  EngineRequest engine_request(std::vector<TokenId> prompt, const GenerationRequest& request,
                               bool with_tools) const;
  std::vector<uint32_t> turn_boundaries(std::span<const TokenId> prompt) const;

  const LoadedEngine& engine_;
  const std::string id_;
  const int64_t created_;
  const std::string fingerprint_;
  const GenerationParams defaults_;
  const GenerationParams defaults_with_tools_;
  const std::unique_ptr<const OutputConstraints> constraints_;
  std::vector<TokenId> turn_tokens_;  // with which turns of the chat format begin
};

}  // namespace mach::server
