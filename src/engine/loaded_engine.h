// The Engine as the tools and the server see it: the public interface, and the parts that stay inside the program.
// Opening reads config.json, tokenizer and generation_config.json and maps the weights; nothing of the weights is read
// before the first token. One thread runs sessions; what is const may be called from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "mach/engine.h"

#include "base/thread_pool.h"
#include "engine/generation.h"
#include "engine/generation_config.h"
#include "engine/model_chat.h"
#include "engine/model_session.h"
#include "engine/serving/engine_loop.h"
#include "io/model_dir.h"
#include "model/model.h"
#include "model/workspace.h"
#include "text/grammar/output_constraint.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {

class LoadedEngine final : public Engine {
 public:
  // As Engine::open(). Options that make no sense: Error{kInvalidRequest} naming the option.
  static std::unique_ptr<LoadedEngine> open(const std::string& model, const EngineOptions& options = {});

  const EngineInfo& info() const noexcept override { return info_; }
  std::unique_ptr<Session> new_session() override { return new_model_session(); }
  std::vector<TokenId> encode(std::string_view text) const override { return tokenizer().encode(text); }
  std::string decode(std::span<const TokenId> tokens) const override { return tokenizer().decode(tokens); }

  std::unique_ptr<ModelSession> new_model_session();

  // A loop that serves this engine; it takes context length and prompt chunk from the engine's options. From then on no
  // session of the engine may run. Throws what EngineLoop and tokenizer() throw.
  std::unique_ptr<EngineLoop> start_loop(EngineLoopOptions options, Logger log = {});

  const ModelDirectory& directory() const noexcept { return directory_; }
  const Model& model() const noexcept { return *model_; }

  // For who runs the model himself: on the engine's thread, while no session runs.
  Workspace& workspace() noexcept { return workspace_; }

  // How the routed experts are held, with counters. Any thread may ask.
  ExpertStatus expert_status() const { return model_->expert_status(); }

  // Throws Error{kNotFound} for a checkpoint without one, which takes and gives ids only.
  const Tokenizer& tokenizer() const;

  const ModelChat& chat() const noexcept { return chat_; }

  // The ids of a rendered conversation, which writes its own BOS.
  std::vector<TokenId> encode_rendered(std::string_view prompt) const;

  // Grammars for what requests ask of the output. Made at the first call.
  const OutputConstraints& output_constraints() const;

  // How this checkpoint wants to be used: sampling, stop ids, ids without a token suppressed. A request changes what
  // it wants to. Some formats end a turn differently where tools are offered.
  GenerationParams default_generation(bool with_tools = false) const;

 private:
  LoadedEngine(ModelDirectory directory, const EngineOptions& options);

  std::unique_ptr<DiskTier> open_disk_tier(const PrefixCacheOptions& options, const Logger& log) const;
  void load_tokenizer();
  void load_generation_defaults();
  void add_end_of_turn(GenerationDefaults& defaults, bool with_tools) const;
  void describe(const EngineOptions& options, const KernelSet& kernels);

  ModelDirectory directory_;
  ThreadPool pool_;
  Workspace workspace_;
  std::unique_ptr<const Model> model_;
  std::optional<Tokenizer> tokenizer_;
  ModelChat chat_;
  GenerationDefaults defaults_;
  mutable std::once_flag constraints_made_;
  mutable std::optional<OutputConstraints> constraints_;
  uint32_t vocabulary_ = 0;  // ids below may be generated
  SessionLimits limits_;
  EngineInfo info_;
  std::string state_settings_;  // what of the options changes the meaning of a saved state
};

}  // namespace mach
