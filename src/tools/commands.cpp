#include "tools/command.h"
#include "tools/read_only_commands.h"

namespace mach::tools {

// Each in the source file of its name.
int run_bench(int argc, char** argv);
int run_completion(int argc, char** argv);
int run_doctor(int argc, char** argv);
int run_generate(int argc, char** argv);
int run_logits(int argc, char** argv);
int run_pull(int argc, char** argv);
int run_prune(int argc, char** argv);
int run_render(int argc, char** argv);
int run_rm(int argc, char** argv);  // pull.cpp
int run_serve(int argc, char** argv);
int run_sidecar(int argc, char** argv);
int run_slice(int argc, char** argv);  // prune.cpp
int run_synth(int argc, char** argv);
int run_tokenize(int argc, char** argv);

std::span<const Command> commands() noexcept {
  static constexpr Command kCommands[] = {
      {"generate", "Generate text from a prompt", run_generate},
      {"serve", "Serve a model over HTTP (OpenAI and Anthropic APIs)", run_serve},
      {"logits", "Write the logits of every position of a token sequence", run_logits},
      {"render", "Print the prompt that a chat template makes of a conversation", run_render},
      {"tokenize", "Print the token ids of a text", run_tokenize},
      kArchsCommand,
      kModelsCommand,
      kCheckCommand,
      {"doctor", "Report what this machine offers, and what it means", run_doctor},
      {"pull", "Download a checkpoint into the local cache", run_pull},
      {"rm", "Remove a checkpoint from the local cache", run_rm},
      {"bench", "Measure prefill and decode speed against the machine's limits", run_bench},
      {"synth", "Write a random-weight checkpoint of real shape, to measure with", run_synth},
      {"prune", "Write the engine layout of a checkpoint with a part of its experts", run_prune},
      {"slice", "Write the engine layout of a checkpoint with all its experts", run_slice},
      {"sidecar", "Write or check the expert sidecar of a checkpoint", run_sidecar},
      {"completion", "Print a shell completion script", run_completion},
  };
  return kCommands;
}

}  // namespace mach::tools
