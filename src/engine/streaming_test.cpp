// Requests over a model whose experts are streamed: what a disk that fails, stalls or lies does to them, and what an engine
// learns from one run for the next. On the demo checkpoint that the repository holds.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "engine/loaded_engine.h"
#include "engine/serving/event_log.h"
#include "experts/bank_size.h"
#include "experts/expert_bank.h"
#include "experts/sidecar_writer.h"
#include "kernels/kernel_set.h"
#include "model/families/family.h"
#include "support/expect_error.h"
#include "support/scripted_source.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::EventLog;
using ::testing::HasSubstr;
using testing::ReadScript;
using testing::TempDir;
using Tokens = std::vector<TokenId>;

fs::path demo_folder() { return testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit"; }

uint64_t floor_of(const ExpertSource& source, uint32_t top_k, uint32_t lanes) {
  return bank_floor_bytes(source.layers(), top_k) + lanes * source.staging_bytes();
}

// An engine loop over a model with a bank that holds little more than a token's working set.
class StreamedRequests : public ::testing::Test {
 protected:
  static constexpr uint32_t kLanes = 2;

  void use(std::unique_ptr<ExpertSource> source, ModelParts parts) {
    const BankOptions options{.budget_bytes = 5 * floor_of(*source, parts.config.moe.top_k, kLanes) / 4,
                              .top_k = parts.config.moe.top_k,
                              .lanes = kLanes,
                              .lookahead = Lookahead::kOff};
    parts.experts = std::make_unique<ExpertBank>(std::move(source), options);
    vocabulary_ = parts.config.vocab_size;
    model_ = make_model(std::move(parts));
    workspace_.set_numerics(Numerics::kExact);
    loop_ = std::make_unique<EngineLoop>(
        EngineLoop::Parts{*model_, workspace_, tokenizer_, nullptr},
        EngineLoopOptions{.parallel = 2, .prefill_chunk = 32, .prefix_cache = {.enabled = false}});
  }

  void stream_with_script() {
    ModelParts parts = open_model_parts(demo_folder(), {.numerics = Numerics::kExact});
    auto source = open_checkpoint_source(parts.weights->shard_paths(), parts.weights->plan());
    use(std::make_unique<testing::ScriptedSource>(std::move(source), script_), std::move(parts));
  }

  void submit(EventLog& log, TokenId first = 1) {
    EngineRequest request;
    for (TokenId i = 0; i < 40; ++i) request.prompt.push_back((first + 7 * i * i) % 900);
    request.params.vocabulary = vocabulary_;
    request.params.max_tokens = 12;
    request.events = log.sink();
    loop_->submit(std::move(request));
  }
  Tokens answer(TokenId first = 1) {
    EventLog log;
    submit(log, first);
    EXPECT_TRUE(log.wait_for_end());
    EXPECT_FALSE(log.end()->error) << log.end()->error->what();
    return log.tokens();
  }
  // The text of the error that the request ends with.
  std::string failure(ErrorCode code) {
    EventLog log;
    submit(log);
    EXPECT_TRUE(log.wait_for_end());
    if (!log.end()->error) {
      ADD_FAILURE() << "the request did not fail";
      return {};
    }
    EXPECT_EQ(error_row(log.end()->error->code()).name, error_row(code).name);
    return log.end()->error->what();
  }

  std::shared_ptr<ReadScript> script_ = std::make_shared<ReadScript>();
  ThreadPool pool_{2};
  Workspace workspace_{pool_, select_kernel_set(probe_cpu_features(), "")};
  Tokenizer tokenizer_ = Tokenizer::open(demo_folder() / "tokenizer.json");
  std::unique_ptr<Model> model_;
  std::unique_ptr<EngineLoop> loop_;
  uint32_t vocabulary_ = 0;
};

TEST_F(StreamedRequests, AFailedOrShortReadEndsTheRequestAndNothingElse) {
  stream_with_script();
  const int before = script_->reads;
  const Tokens wanted = answer();
  const int reads = script_->reads - before;
  ASSERT_EQ(wanted.size(), 12U);
  ASSERT_GT(reads, 60);
  script_->stubborn = true;
  // In prefill and in decode.
  for (const int after : {0, 1, reads / 3, 2 * reads / 3}) {
    SCOPED_TRACE(after);
    script_->fail_at = script_->reads + after;
    EXPECT_THAT(failure(ErrorCode::kIo),
                AllOf(HasSubstr("layer "), HasSubstr(", expert "), HasSubstr("scripted failure")));
    script_->fail_at = -1;
    script_->bad_record = -1;
    EXPECT_EQ(answer(), wanted);
    script_->short_at = script_->reads + after;
    EXPECT_THAT(failure(ErrorCode::kIo),
                AllOf(HasSubstr("layer "), HasSubstr(", expert "), HasSubstr("too soon")));
    script_->short_at = -1;
    script_->bad_record = -1;
    EXPECT_EQ(answer(), wanted);
  }
  EXPECT_EQ(loop_->stats().failed, 8U);
}

TEST_F(StreamedRequests, ASlowReadChangesNothing) {
  stream_with_script();
  const Tokens wanted = answer();
  script_->delay_us = 300;
  EXPECT_EQ(answer(), wanted);
}

// A pass of two requests that meets a bad read is repeated for each alone, and the read is good then.
TEST_F(StreamedRequests, APassingFaultCostsNobodyHisAnswerWhereTwoRun) {
  stream_with_script();
  const Tokens first = answer(1);
  const Tokens second = answer(2);
  EventLog logs[2];
  std::atomic<bool> hold{true};
  script_->before = [&](ExpertId) {  // both are there before the first pass reads
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  EventLog starter;
  submit(starter, 3);
  submit(logs[0], 1);
  submit(logs[1], 2);
  script_->fail_at = script_->reads + 150;
  hold = false;
  for (EventLog& log : logs) ASSERT_TRUE(log.wait_for_end());
  ASSERT_TRUE(starter.wait_for_end());
  int failed = starter.end()->error ? 1 : 0;
  for (int i = 0; i < 2; ++i) {
    if (logs[i].end()->error) {
      ++failed;
    } else {
      EXPECT_EQ(logs[i].tokens(), i == 0 ? first : second);
    }
  }
  EXPECT_LE(failed, 1) << "at most who ran alone";
}

void copy_with_sidecar(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(demo_folder())) {
    if (entry.is_regular_file()) fs::copy_file(entry.path(), folder / entry.path().filename());
  }
  const ModelParts parts = open_model_parts(folder, {.numerics = Numerics::kExact});
  const auto source = open_checkpoint_source(parts.weights->shard_paths(), parts.weights->plan());
  SidecarWriter writer(folder, parts.config.model_type);
  ReadContext context(make_reader(ReaderKind::kBuffered, source->files()));
  for (const ExpertLayerSpec& layer : source->layers()) {
    AlignedBuffer record(layer.record.size, kDirectIoAlignment);
    writer.begin_layer(layer);
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      source->read({layer.layer, expert}, record.bytes(), context);
      writer.append(std::span<const std::byte>(record.bytes()));
    }
    writer.end_layer();
  }
  writer.finish();
}

// Flips a bit of every record of a layer's file, behind the back of whoever looks at times and sizes.
void damage(const fs::path& file, const SidecarLayer& layer) {
  const auto time = fs::last_write_time(file);
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  for (uint32_t expert = 0; expert < layer.experts; ++expert) {
    const auto at = static_cast<std::streamoff>(layer.record_offset(expert) + 77);
    stream.seekg(at);
    const auto byte = static_cast<char>(stream.get());
    stream.seekp(at);
    stream.put(static_cast<char>(byte ^ 4));
  }
  stream.close();
  fs::last_write_time(file, time);
}

TEST_F(StreamedRequests, ADamagedRecordIsFoundByItsChecksum) {
  const TempDir copy;
  copy_with_sidecar(copy.path());
  const SidecarLayout layout = *read_sidecar_layout(copy.path());
  use(open_sidecar_source(copy.path(), layout, true),
      open_model_parts(copy.path(), {.numerics = Numerics::kExact}));
  const Tokens wanted = answer();
  const SidecarLayer& layer = layout.layers.back();
  const fs::path file = copy.path() / kSidecarFolder / sidecar_layer_file(layer.layer);
  damage(file, layer);
  EXPECT_THAT(failure(ErrorCode::kCorruptFile),
              AllOf(HasSubstr("layer " + std::to_string(layer.layer) + ", expert"), HasSubstr("checksum"),
                    HasSubstr(file.string())));
  damage(file, layer);  // as it was
  EXPECT_EQ(answer(), wanted);
}

TEST(StreamingEngine, RefusesABankBelowATokensWorkingSet) {
  EngineOptions options{.residency = Residency::kStreaming, .expert_cache_bytes = 100'000};
  EXPECT_MACH_ERROR(LoadedEngine::open(demo_folder().string(), options), ErrorCode::kOutOfBudget,
                    AllOf(HasSubstr("100000 bytes is too small"), HasSubstr("give at least")));
}

TEST(StreamingEngine, CountsWhatSequencesTake) {
  EngineOptions options{.residency = Residency::kResident, .sequences = 1'000'000};
  EXPECT_MACH_ERROR(LoadedEngine::open(demo_folder().string(), options), ErrorCode::kOutOfBudget,
                    HasSubstr("its context"));
  options.residency = Residency::kStreaming;
  options.sequences = 1;
  const uint64_t all = LoadedEngine::open(demo_folder().string(), options)->expert_status().budget_bytes;
  options.reserved_bytes = uint64_t{1} << 50;
  EXPECT_MACH_ERROR(LoadedEngine::open(demo_folder().string(), options), ErrorCode::kOutOfBudget,
                    HasSubstr("too small"));
  EXPECT_GT(all, 0U);
}

TEST(StreamingEngine, HoldsWhatEarlierRunsUsedMost) {
  const TempDir cache;
  EngineOptions options{
      .exact = true, .residency = Residency::kStreaming, .hot_experts_dir = cache.path() / "hot"};
  Tokens outputs[2];
  for (int run = 0; run < 2; ++run) {
    const auto engine = LoadedEngine::open(demo_folder().string(), options);
    EXPECT_EQ(engine->expert_status().pinned > 0, run > 0);
    const auto session = engine->new_session();
    TokenId next = 5;
    for (int i = 0; i < 20; ++i) {
      session->append(std::span(&next, 1));
      const auto logits = session->logits();
      next = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      outputs[run].push_back(next);
    }
  }
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(std::distance(fs::directory_iterator(cache.path() / "hot"), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace mach
