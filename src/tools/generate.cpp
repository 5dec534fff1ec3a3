// `mach-generate`: one prompt in, text out, without a server.
#include "engine/generate.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/interrupt.h"
#include "base/memory_info.h"
#include "engine/loaded_engine.h"
#include "io/json.h"
#include "tools/cli.h"
#include "tools/demo_model.h"
#include "tools/engine_arguments.h"
#include "tools/prompt_progress.h"
#include "tools/sampling_arguments.h"
#include "tools/text_input.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach-generate --prompt 'Once upon a time'                   the demo model continues a text\n"
    "  mach-generate --chat --prompt 'What is the capital of France?'\n"
    "  mach-generate ./Qwen3-30B-A3B --chat --prompt-file question.txt --max-tokens 1000 --stats\n"
    "  echo 'def reverse(s):' | mach-generate ./model --prompt - --temperature 0 --stop $'\\n\\n'\n"
    "\n"
    "The text goes to standard output as it is generated; everything else goes to standard error.\n"
    "Ctrl-C ends the text where it is, with exit status 130. Other exit statuses: mach --help.";

struct Arguments {
  std::string model;
  std::string prompt, prompt_file;
  bool chat = false, thinking = false;
  std::string system;
  uint32_t max_tokens = 0;
  std::vector<std::string> stop;
  std::string json_schema, grammar;  // files
  bool json = false, stats = false;
  EngineArguments engine;
  SamplingArguments sampling;
};

// False: only help was wanted.
bool parse(int argc, char** argv, Arguments& args) {
  CLI::App app("Generates text from one prompt.");
  app.add_option("MODEL", args.model,
                 "Checkpoint folder, or a hub id in the local cache (default: the demo model)");
  auto* prompt = app.add_option("--prompt", args.prompt, "The prompt; - reads standard input");
  auto* file =
      app.add_option("--prompt-file", args.prompt_file, "Read the prompt from a file")->excludes(prompt);
  auto* chat =
      app.add_flag("--chat", args.chat, "Put the prompt into the model's chat template as a user's message");
  app.add_option("--system", args.system, "System message before it")->needs(chat);
  app.add_flag("--thinking", args.thinking, "Let the chat template ask for reasoning first")->needs(chat);
  app.add_option("--max-tokens", args.max_tokens,
                 "Most tokens to generate (default: the checkpoint's, else 512)")
      ->check(CLI::PositiveNumber);
  app.add_option("--stop", args.stop, "End before this text; may be given several times")
      ->allow_extra_args(false);
  auto* schema = app.add_option("--json-schema", args.json_schema,
                                "Answer with JSON under the JSON Schema in this file");
  app.add_option("--grammar", args.grammar,
                 "Answer with a text of the EBNF grammar in this file, whose first rule is root")
      ->excludes(schema);
  app.add_flag("--json", args.json, "Print one JSON object at the end instead of the text");
  app.add_flag("--stats", args.stats, "Print times and memory to standard error at the end");
  args.sampling.add_to(app);
  args.engine.add_to(app);
  if (!parse_command_line(app, argc, argv, kExamples)) return false;
  if (prompt->empty() && file->empty()) {
    throw Error(ErrorCode::kUsage,
                fmt::format("--prompt or --prompt-file is required (see {} --help)", argv[0]));
  }
  return true;
}

// The conversation as the model's template writes it.
std::string rendered_chat(const LoadedEngine& engine, const Arguments& args, const std::string& prompt) {
  ChatPrompt chat;
  chat.messages = nlohmann::ordered_json::array();
  if (!args.system.empty()) {
    chat.messages.push_back({{"role", "system"}, {"content", checked_text("--system", args.system)}});
  }
  chat.messages.push_back({{"role", "user"}, {"content", prompt}});
  chat.add_generation_prompt = true;
  chat.variables = {{"enable_thinking", args.thinking}};
  return engine.chat().render(std::move(chat));
}

// Null if the command line asks for none. rendered: of a conversation.
std::unique_ptr<TokenConstraint> constraint_of(const LoadedEngine& engine, const Arguments& args,
                                               std::string_view rendered) {
  if (args.json_schema.empty() && args.grammar.empty()) return nullptr;
  ConstraintRequest request;
  if (!args.json_schema.empty()) {
    request.answer = ConstraintRequest::Answer::kJsonSchema;
    request.schema = parse_ordered_json(text_file("--json-schema", args.json_schema), args.json_schema,
                                        {.error = ErrorCode::kInvalidRequest});
  } else {
    request.answer = ConstraintRequest::Answer::kEbnf;
    request.grammar = text_file("--grammar", args.grammar);
  }
  request.chat = args.chat;
  request.may_reason = args.thinking;
  const ChatFormat* format = engine.chat().format();
  request.starts_in_reasoning = args.chat && format != nullptr && starts_in_reasoning(*format, rendered);
  return engine.output_constraints().make(request);
}

double per_second(size_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

uint32_t computed_prompt_tokens(const GenerationResult& r) { return r.prompt_tokens - r.reused_tokens; }

// Passes after the prompt: the first token comes from the prompt's own logits.
size_t decode_passes(const GenerationResult& r) { return r.tokens.empty() ? 0 : r.tokens.size() - 1; }

void print_json(const EngineInfo& info, const GenerationResult& r, uint64_t seed) {
  nlohmann::ordered_json root;
  root["text"] = r.text;
  root["tokens"] = r.tokens;
  root["finish_reason"] = to_string(r.finish);
  root["usage"] = {{"prompt_tokens", r.prompt_tokens},
                   {"completion_tokens", r.tokens.size()},
                   {"total_tokens", r.prompt_tokens + r.tokens.size()}};
  root["timings"] = {{"load_seconds", info.load_seconds},
                     {"prompt_seconds", r.prefill_seconds},
                     {"prompt_tokens_per_second", per_second(computed_prompt_tokens(r), r.prefill_seconds)},
                     {"decode_seconds", r.decode_seconds},
                     {"decode_tokens_per_second", per_second(decode_passes(r), r.decode_seconds)}};
  root["seed"] = seed;
  root["model"] = info.model_path;
  std::cout << root.dump(2) << '\n';
}

void print_expert_stats(const EngineInfo& info, const ExpertStatus& status, size_t tokens) {
  std::cerr << fmt::format("experts {}\n", info.experts);
  if (status.residency != "streaming") return;
  const ExpertCounters& total = status.total;
  const double read_seconds = static_cast<double>(total.read_ns) * 1e-9;
  std::cerr
      << fmt::format(
             "        hits {}, misses {} ({:.1f} % hits), evictions {}, held {} of {}, {} of them for good\n",
             total.hits, total.misses, 100 * total.hit_rate(), total.evictions, status.held, status.slots,
             status.pinned)
      << fmt::format("        read {:.1f} MiB ({:.2f} MiB/token), {:.2f} ms a record; stalled {:.3f} s\n",
                     static_cast<double>(total.bytes_read) / (1024.0 * 1024),
                     static_cast<double>(total.bytes_read) / (1024.0 * 1024) /
                         static_cast<double>(std::max<size_t>(tokens, 1)),
                     total.reads == 0 ? 0 : 1000 * read_seconds / static_cast<double>(total.reads),
                     static_cast<double>(total.stall_ns) * 1e-9)
      << fmt::format("        lookahead {}: {} guesses used, {} wasted\n", status.lookahead ? "on" : "off",
                     total.guesses_useful, total.guesses_wasted);
}

void print_stats(const EngineInfo& info, const GenerationResult& r, const ModelSession& session,
                 const SamplingParams& sampling, const ExpertStatus& experts) {
  constexpr double kMiB = 1024.0 * 1024.0;
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / kMiB; };
  std::cerr << fmt::format("model   {} ({}, {}), {} numerics, {} kernels, {} threads\n", info.model_path,
                           info.model_type, info.quantisation, info.numerics, info.kernel_set, info.threads)
            << fmt::format("load    {:.3f} s\n", info.load_seconds)
            << fmt::format("prompt  {} tokens in {:.3f} s, {:.1f} tokens/s\n", r.prompt_tokens,
                           r.prefill_seconds, per_second(computed_prompt_tokens(r), r.prefill_seconds))
            << fmt::format("decode  {} tokens in {:.3f} s, {:.1f} tokens/s; finish: {}\n", r.tokens.size(),
                           r.decode_seconds, per_second(decode_passes(r), r.decode_seconds),
                           to_string(r.finish))
            << (sampling.temperature > 0
                    ? fmt::format("sample  temperature {}, seed {}\n", sampling.temperature, sampling.seed)
                    : std::string("sample  greedy\n"))
            << fmt::format("memory  {:.1f} MiB at most, weights {:.1f} MiB, context {:.1f} MiB\n",
                           mib(read_process_memory().peak_rss), mib(info.weight_bytes),
                           mib(session.state_bytes()));
  print_expert_stats(info, experts, decode_passes(r) + computed_prompt_tokens(r));
}

void write_text(std::string_view text) {
  std::cout << text << std::flush;
  if (!std::cout) throw Error(ErrorCode::kIo, "standard output: cannot be written");
}

}  // namespace

int run_generate(int argc, char** argv) {
  Arguments args;
  if (!parse(argc, argv, args)) return 0;
  const std::string prompt = args.prompt_file.empty() ? text_argument("--prompt", args.prompt)
                                                      : text_file("--prompt-file", args.prompt_file);
  if (args.model.empty()) {
    args.model = find_demo_model().string();
    std::cerr << "no model given, using the demo model " << args.model << '\n';
  }

  const InterruptGuard interrupt;
  const auto engine = args.engine.open(args.model);
  GenerationParams params = engine->default_generation();
  args.sampling.apply_to(params.sampling);
  if (args.max_tokens > 0) params.max_tokens = args.max_tokens;
  for (const std::string& stop : args.stop) params.stop.push_back(checked_text("--stop", stop));

  const std::string rendered = args.chat ? rendered_chat(*engine, args, prompt) : std::string();
  const std::vector<TokenId> prompt_tokens =
      args.chat ? engine->encode_rendered(rendered) : engine->encode(prompt);
  const auto constraint = constraint_of(*engine, args, rendered);
  const auto session = engine->new_model_session();
  PromptProgress progress;
  size_t written = 0;
  GenerationCallbacks callbacks;
  callbacks.prefill = [&](uint32_t done, uint32_t total) {
    progress.show(done, total);
    return !InterruptGuard::requested();
  };
  callbacks.step = [&](const GenerationStep& step) {
    for (const TextPiece& piece : step.pieces) {
      if (!args.json && !piece.text.empty()) write_text(piece.text);
      written += piece.text.size();
    }
    return !InterruptGuard::requested();
  };
  callbacks.constraint = constraint.get();
  const GenerationResult result = generate(*session, engine->tokenizer(), prompt_tokens, params, callbacks);

  if (args.json) {
    print_json(engine->info(), result, params.sampling.seed);
  } else {
    write_text(result.text.substr(written));
    if (!result.text.ends_with('\n')) write_text("\n");
  }
  if (args.stats) print_stats(engine->info(), result, *session, params.sampling, engine->expert_status());
  return result.finish == FinishReason::kCancelled ? error_row(ErrorCode::kCancelled).exit_code : 0;
}

}  // namespace mach::tools
