// `mach logits`: what the model thinks of every next token of a given sequence, as a file. For comparing engines, formats and
// kernels, and for anything that needs probabilities rather than text.
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/interrupt.h"
#include "engine/loaded_engine.h"
#include "io/safetensors_writer.h"
#include "tools/cli.h"
#include "tools/engine_arguments.h"
#include "tools/token_ids.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  echo '[4088, 3642, 198]' > ids.json\n"
    "  mach logits ./model --ids ids.json --out logits.safetensors --exact\n"
    "  mach logits ./model --ids golden.safetensors --out step.safetensors --exact --incremental\n"
    "\n"
    "Input: a JSON array of token ids, or a .safetensors whose tensor `input_ids` is I32 or I64 [n].\n"
    "Output: safetensors with `logits` F32 [n, vocab_size]; row i is for the token after id i. Rows of "
    "padding are\n"
    "included. The metadata name model_type, numerics and kernels. The file appears when it is complete.\n"
    "Exit status: 0, or one per kind of error (mach --help); 3 for ids that are not in the vocabulary, 6 for "
    "more\n"
    "ids than the context length.";

}  // namespace

int run_logits(int argc, char** argv) {
  std::string model, ids_path, out_path;
  bool incremental = false;
  EngineArguments engine_arguments;
  CLI::App app("Writes the logits of every position of a token sequence to a file.");
  app.add_option("MODEL", model, "Checkpoint folder, or a hub id in the local cache")->required();
  app.add_option("--ids", ids_path, "Token ids: JSON array, or safetensors with input_ids")->required();
  app.add_option("--out", out_path, "File to write")->required();
  app.add_flag("--incremental", incremental, "One token per pass through the caches, as in decode");
  engine_arguments.add_to(app);
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  const std::vector<TokenId> ids = read_token_ids(ids_path);
  if (ids.empty()) throw Error(ErrorCode::kInvalidRequest, ids_path + ": has no token ids");
  if (incremental) engine_arguments.options.prefill_chunk = 1;
  const InterruptGuard interrupt;
  const auto engine = engine_arguments.open(model);
  const EngineInfo& info = engine->info();

  const auto session = engine->new_model_session();
  SafetensorsWriter writer(
      out_path, {{"logits", DType::kF32, {ids.size(), info.vocab_size}}},
      {{"model_type", info.model_type}, {"numerics", info.numerics}, {"kernels", info.kernel_set}});
  session->append_scored(ids, [&](uint32_t, std::span<const float> rows) {
    InterruptGuard::check("mach logits");
    writer.write(std::as_bytes(rows));
  });
  writer.finish();
  return 0;
}

}  // namespace mach::tools
