#include "convert/engine_checkpoint.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mach/error.h"

#include "arch/parameters.h"
#include "arch/registry.h"
#include "base/file.h"
#include "base/half.h"
#include "base/thread_pool.h"
#include "convert/resident_tensors.h"
#include "convert/sidecar_tools.h"
#include "model/model.h"
#include "model/workspace.h"
#include "support/expect_error.h"
#include "support/small_shapes.h"
#include "support/temp_dir.h"
#include "synth/routing_design.h"
#include "synth/synthesize.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using ::mach::testing::small_shapes;
using ::mach::testing::SmallShape;
using ::mach::testing::TempDir;
using ::mach::testing::write_shape;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

fs::path make_source(const TempDir& dir, const SmallShape& shape, synth::Quant quant, uint32_t layers = 4) {
  synth::SynthOptions options{.like = write_shape(shape, dir.path()), .layers = layers, .quant = quant};
  options.out = dir.path() / (shape.like + "-source");
  ThreadPool pool(1);
  synth::synthesize(options, pool, {});
  return options.out;
}

// Another number in each layer, and not simply the first ones.
KeptExperts some_experts(const ModelConfig& config) {
  KeptExperts kept(config.layer_count());
  for (uint32_t layer = 0; layer < kept.size(); ++layer) {
    for (uint32_t e = 0; e < config.layers[layer].experts; ++e) {
      if ((e * 7 + layer) % 5 < 2 + layer % 2 || e >= 13) kept[layer].push_back(e);
    }
  }
  return kept;
}

KeptExperts all_experts(const ModelConfig& config) { return resolve_keep_plan(KeepPlan{}, config); }

std::vector<float> logits_of(const fs::path& checkpoint) {
  ThreadPool pool(1);
  Workspace workspace(pool, select_kernel_set(probe_cpu_features()));
  const auto model = Model::open(checkpoint, {.numerics = Numerics::kExact});
  const auto state = model->new_state();
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 24; ++i) ids.push_back(i * 37 % 1024);
  const SequenceStep step{state.get(), ids, LogitsWanted::kAll};
  std::vector<float> logits(ids.size() * model->config().vocab_size);
  model->forward(workspace, {&step, 1}, logits);
  return logits;
}

// The constant components of the residual stream are positive for every token, so a router row that is far below zero there
// never wins: the expert is masked.
void mask_router_rows(const fs::path& checkpoint, const KeptExperts& kept) {
  const SourceCheckpoint source = SourceCheckpoint::open(checkpoint.string());
  const auto subspace = synth::RoutingSubspace::of(source.config.hidden_size, source.config.vocab_size);
  for (const Parameter& parameter : arch_row(source.config.family).parameters(source.config).parameters) {
    if (!parameter.per_expert || parameter.kind != ParameterKind::kMatrix) continue;
    const auto layer = static_cast<uint32_t>(std::stoul(parameter.name.substr(parameter.name.find('.') + 1)));
    const WeightRef& router = source.plan.matrix(parameter.name);
    ASSERT_EQ(router.format.codec, CodecId::kBF16);
    const TensorLocation& tensor = source.plan.tensors[router.codes.tensor];
    std::fstream file(source.files.shard_path(tensor.shard), std::ios::in | std::ios::out | std::ios::binary);
    for (uint32_t e = 0; e < router.rows; ++e) {
      if (std::binary_search(kept[layer].begin(), kept[layer].end(), e)) continue;
      file.seekp(
          static_cast<std::streamoff>(tensor.offset + router.codes.offset + e * router.codes.row_stride));
      const uint16_t low = f32_to_bf16(-1000.0F);
      for (uint32_t c = 0; c < subspace.constant; ++c) file.write(reinterpret_cast<const char*>(&low), 2);
    }
  }
}

TEST(EngineCheckpoint, APrunedModelIsTheSourceWithTheOtherExpertsMasked) {
  for (const SmallShape& shape : small_shapes()) {
    SCOPED_TRACE(shape.like);
    SmallShape scored = shape;  // a hash table chooses by token: nothing to mask
    if (scored.config.contains("num_hash_layers")) scored.config["num_hash_layers"] = 0;
    const TempDir dir;
    const fs::path path = make_source(dir, scored, synth::Quant::kBF16);
    const SourceCheckpoint source = SourceCheckpoint::open(path.string(), RecordOrder::kRows);
    const KeptExperts kept = some_experts(source.config);
    write_engine_checkpoint(source, {.out = dir.path() / "pruned", .kept = kept, .sidecar = false});
    const auto unmasked = logits_of(path);
    mask_router_rows(path, kept);
    const auto wanted = logits_of(path);
    const auto pruned = logits_of(dir.path() / "pruned");
    ASSERT_EQ(pruned.size(), wanted.size());
    float worst = 0, change = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      worst = std::max(worst, std::abs(pruned[i] - wanted[i]));
      change = std::max(change, std::abs(unmasked[i] - wanted[i]));
    }
    EXPECT_LT(worst, 2e-5F);   // only the order of the softmax's sum over experts differs
    EXPECT_GT(change, 0.01F);  // and pruning did something
  }
}

TEST(EngineCheckpoint, KeepingAllChangesNoLogitInAnyStorage) {
  for (const SmallShape& shape : small_shapes()) {
    for (const synth::Quant quant : {synth::Quant::kAffine4, synth::Quant::kMxFp4}) {
      SCOPED_TRACE(shape.like);
      const TempDir dir;
      const fs::path path = make_source(dir, shape, quant);
      const SourceCheckpoint source = SourceCheckpoint::open(path.string(), RecordOrder::kRows);
      write_engine_checkpoint(
          source, {.out = dir.path() / "out", .kept = all_experts(source.config), .sidecar = false});
      EXPECT_EQ(logits_of(dir.path() / "out"), logits_of(path));
    }
  }
}

TEST(EngineCheckpoint, SidecarHoldsTheKeptRecords) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[2], synth::Quant::kMxFp4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  const KeptExperts kept = some_experts(source.config);
  const ArtifactResult result = write_engine_checkpoint(source, {.out = dir.path() / "out", .kept = kept});
  EXPECT_THAT(result.name, HasSubstr("-source-avgk"));
  const SourceCheckpoint made = SourceCheckpoint::open((dir.path() / "out").string());
  EXPECT_EQ(made.experts->name(), "sidecar");
  EXPECT_EQ(made.plan.layout, ExpertLayout::kSidecar);
  ReadContext from(make_reader(ReaderKind::kBuffered, source.experts->files()));
  ReadContext to(make_reader(ReaderKind::kBuffered, made.experts->files()));
  for (const ExpertLayerSpec& layer : made.experts->layers()) {
    ASSERT_EQ(layer.experts, kept[layer.layer].size());
    AlignedBuffer a(layer.record.size, kDirectIoAlignment), b(layer.record.size, kDirectIoAlignment);
    for (uint32_t i = 0; i < layer.experts; ++i) {
      source.experts->read({layer.layer, kept[layer.layer][i]}, a.bytes(), from);
      made.experts->read({layer.layer, i}, b.bytes(), to);
      EXPECT_TRUE(std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin()));
    }
  }
}

TEST(EngineCheckpoint, OneCountForAllLayersIsThePlainKeyOfTheConfig) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[0], synth::Quant::kAffine4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  const KeptExperts kept(source.config.layer_count(), {0, 1, 2, 3, 8, 9});
  const ArtifactResult result = write_engine_checkpoint(source, {.out = dir.path() / "out", .kept = kept});
  EXPECT_TRUE(result.name.ends_with("-k6")) << result.name;
  const SourceCheckpoint made = SourceCheckpoint::open((dir.path() / "out").string());
  EXPECT_EQ(made.config.moe.experts, 6U);
  EXPECT_FALSE(made.config_json.contains(kLayerExpertsKey));
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      all[fs::relative(entry.path(), folder).string()] = read_text_file(entry.path(), uint64_t{1} << 30);
  }
  return all;
}

// Runs `body` in a process of its own, which ends by _exit without any destructor, as a killed one does.
int in_child(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// config.json is the last file before the rename: with it the folder is whole.
void expect_nothing_that_loads_in(const fs::path& partial) {
  if (fs::exists(partial / "config.json")) {
    EXPECT_FALSE(fs::exists(partial / ".mach_artifact_state.json"));
  } else if (fs::exists(partial)) {
    EXPECT_THROW(SourceCheckpoint::open(partial.string()), Error);
  }
}

void expect_nothing_that_loads(const fs::path& out) {
  EXPECT_FALSE(fs::exists(out));
  EXPECT_FALSE(fs::exists(out.string() + ".partial/config.json"));
}

TEST(EngineCheckpoint, ARunKilledAnywhereLeavesNothingThatLoadsAndIsGoneOnWith) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[0], synth::Quant::kAffine4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  ArtifactOptions options{
      .out = dir.path() / "whole", .kept = some_experts(source.config), .shard_bytes = 100'000};
  int steps = 0;
  options.progress = [&](uint64_t, uint64_t) { return ++steps > 0; };
  write_engine_checkpoint(source, options);
  const auto wanted = contents(options.out);
  ASSERT_GT(steps, 50);

  uint64_t reused = 0;
  for (int stop = 1; stop <= steps; stop += 7) {
    SCOPED_TRACE(stop);
    options.out = dir.path() / ("killed" + std::to_string(stop));
    EXPECT_EQ(in_child([&] {
                int step = 0;
                options.progress = [&](uint64_t, uint64_t) {
                  if (++step == stop) ::_exit(42);
                  return true;
                };
                write_engine_checkpoint(source, options);
                return 0;
              }),
              42);
    expect_nothing_that_loads(options.out);
    options.progress = {};
    reused += write_engine_checkpoint(source, options).reused_bytes;
    EXPECT_EQ(contents(options.out), wanted);
    EXPECT_FALSE(fs::exists(options.out.string() + ".partial"));
    fs::remove_all(options.out);
  }
  EXPECT_GT(reused, 0U);
}

// Killed by the clock, so also between the last byte of a tensor and the rename: either the artifact is whole, or nothing
// of it loads and the next run completes it.
TEST(EngineCheckpoint, SigkillAtAnyTimeLeavesAllOrNothing) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[0], synth::Quant::kAffine4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  ArtifactOptions options{
      .out = dir.path() / "whole", .kept = some_experts(source.config), .shard_bytes = 100'000};
  const auto start = std::chrono::steady_clock::now();
  write_engine_checkpoint(source, options);
  const auto whole_run = std::chrono::steady_clock::now() - start;
  const auto wanted = contents(options.out);
  int killed = 0;
  constexpr int kTimes = 16;
  for (int i = 0; i < kTimes; ++i) {
    SCOPED_TRACE(i);
    options.out = dir.path() / ("killed" + std::to_string(i));
    const pid_t pid = ::fork();
    if (pid == 0) {
      write_engine_checkpoint(source, options);
      ::_exit(0);
    }
    std::this_thread::sleep_for(whole_run * i / (kTimes - 3));  // some of them when it is done
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    killed += WIFSIGNALED(status) ? 1 : 0;
    if (!fs::exists(options.out)) {
      expect_nothing_that_loads_in(options.out.string() + ".partial");
      write_engine_checkpoint(source, options);
    }
    EXPECT_EQ(contents(options.out), wanted);
    fs::remove_all(options.out);
    fs::remove_all(options.out.string() + ".partial");
  }
  EXPECT_GT(killed, 0);
}

TEST(EngineCheckpoint, ADiskThatIsFullIsAnErrorToGoOnFrom) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[0], synth::Quant::kAffine4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  ArtifactOptions options{.out = dir.path() / "out", .kept = all_experts(source.config)};
  for (const rlim_t limit : {rlim_t{1000}, rlim_t{60'000}, rlim_t{250'000}}) {
    EXPECT_EQ(in_child([&] {
                std::signal(SIGXFSZ, SIG_IGN);  // writes beyond the limit then fail, as they do without room
                const rlimit small{limit, limit};
                ::setrlimit(RLIMIT_FSIZE, &small);
                try {
                  write_engine_checkpoint(source, options);
                } catch (const Error& error) {
                  return error.code() == ErrorCode::kIo || error.code() == ErrorCode::kOutOfBudget ? 43 : 1;
                }
                return 0;
              }),
              43);
    expect_nothing_that_loads(options.out);
  }
  write_engine_checkpoint(source, options);
  EXPECT_TRUE(fs::exists(options.out / "config.json"));
}

TEST(EngineCheckpoint, AnotherPlanDoesNotGoOnWithAnOldFolder) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[0], synth::Quant::kAffine4);
  const SourceCheckpoint source = SourceCheckpoint::open(path.string());
  ArtifactOptions options{.out = dir.path() / "out", .kept = all_experts(source.config)};
  options.progress = [](uint64_t done, uint64_t total) { return done < total / 2; };
  EXPECT_MACH_ERROR(write_engine_checkpoint(source, options), ErrorCode::kCancelled, HasSubstr("goes on"));
  expect_nothing_that_loads(options.out);
  options.progress = {};
  options.kept = some_experts(source.config);
  EXPECT_EQ(write_engine_checkpoint(source, options).reused_bytes, 0U);
  EXPECT_MACH_ERROR(write_engine_checkpoint(source, options), ErrorCode::kInvalidRequest,
                    HasSubstr("exists already"));
}

TEST(RemapTokenExperts, GoneExpertsAreReplacedByTheNextKeptOne) {
  const auto remapped = [](std::vector<uint32_t> row) {
    remap_token_experts({1, 4, 6}, row);
    return row;
  };
  EXPECT_THAT(remapped({4, 1}), ElementsAre(1, 0));
  EXPECT_THAT(remapped({2, 4}), ElementsAre(2, 1));  // 4 is taken, so 6
  EXPECT_THAT(remapped({7, 0}), ElementsAre(0, 1));  // around the end
}

TEST(Sidecar, AnExportKilledAnywhereIsNoSidecarAndIsGoneOnWith) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[1], synth::Quant::kAffine4);
  int steps = 0;
  export_sidecar(SourceCheckpoint::open(path.string()), [&](uint64_t, uint64_t) { return ++steps > 0; });
  const auto wanted = contents(path);
  for (int stop = 1; stop <= steps; stop += 9) {
    SCOPED_TRACE(stop);
    fs::remove_all(path / kSidecarFolder);
    EXPECT_EQ(in_child([&] {
                int step = 0;
                export_sidecar(SourceCheckpoint::open(path.string()), [&](uint64_t, uint64_t) {
                  if (++step == stop) ::_exit(42);
                  return true;
                });
                return 0;
              }),
              42);
    EXPECT_FALSE(fs::exists(path / kSidecarFolder / kSidecarLayoutFile));
    EXPECT_EQ(SourceCheckpoint::open(path.string()).experts->name(), "stacked") << "half a sidecar is none";
    export_sidecar(SourceCheckpoint::open(path.string()), {});
    EXPECT_EQ(contents(path), wanted);
  }
}

TEST(Sidecar, ADiskThatIsFullIsAnErrorToGoOnFrom) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[1], synth::Quant::kAffine4);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{100'000}}) {
    EXPECT_EQ(in_child([&] {
                std::signal(SIGXFSZ, SIG_IGN);
                const rlimit small{limit, limit};
                ::setrlimit(RLIMIT_FSIZE, &small);
                try {
                  export_sidecar(SourceCheckpoint::open(path.string()), {});
                } catch (const Error& error) {
                  return error.code() == ErrorCode::kIo ? 43 : 1;
                }
                return 0;
              }),
              43);
    EXPECT_FALSE(fs::exists(path / kSidecarFolder / kSidecarLayoutFile));
  }
  export_sidecar(SourceCheckpoint::open(path.string()), {});
  EXPECT_TRUE(verify_sidecar(path, {}).faults.empty());
}

TEST(Sidecar, IsExportedOnceAndVerified) {
  const TempDir dir;
  const fs::path path = make_source(dir, small_shapes()[1], synth::Quant::kAffine4);
  EXPECT_MACH_ERROR(verify_sidecar(path, {}), ErrorCode::kNotFound, HasSubstr("layout.json"));
  const uint64_t bytes = export_sidecar(SourceCheckpoint::open(path.string()), {});
  const SidecarCheck check = verify_sidecar(path, {});
  EXPECT_EQ(check.bytes, bytes);
  EXPECT_EQ(check.records, 4U * 16);
  EXPECT_TRUE(check.faults.empty());
  EXPECT_MACH_ERROR(export_sidecar(SourceCheckpoint::open(path.string()), {}), ErrorCode::kInvalidRequest,
                    HasSubstr("there already"));

  std::fstream file(path / kSidecarFolder / sidecar_layer_file(2),
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(5000);
  file.put('\x7f');
  file.close();
  const SidecarCheck damaged = verify_sidecar(path, {});
  ASSERT_EQ(damaged.faults.size(), 1U);
  EXPECT_THAT(damaged.faults.front(), HasSubstr("layer 2"));
}

}  // namespace
}  // namespace mach
