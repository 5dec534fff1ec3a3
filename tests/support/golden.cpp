#include "support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/cpu_features.h"
#include "base/half.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "kernels/kernel_set.h"
#include "model/state_io.h"

namespace mach::testing {
namespace {

template <class T>
std::vector<T> read_tensor(const SafetensorsFile& file, const std::string& name) {
  const auto bytes = file.data(name);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

std::vector<float> read_f16(const SafetensorsFile& file, const std::string& name) {
  const auto halves = read_tensor<uint16_t>(file, name);
  std::vector<float> values(halves.size());
  std::transform(halves.begin(), halves.end(), values.begin(), f16_to_f32);
  return values;
}

SafetensorsFile open_golden(const std::filesystem::path& folder) {
  return SafetensorsFile::open(folder / "golden.safetensors");
}

void expect_close(std::span<const float> got, std::span<const float> wanted, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  const Difference d = difference(got, wanted);
  EXPECT_LE(d.largest, tolerance) << what << ": element " << d.at << " is " << got[d.at] << ", not "
                                  << wanted[d.at];
  ::testing::Test::RecordProperty("worst " + what, std::to_string(d.largest));
}

std::vector<float> append_chunk(LoadedModel& loaded, SequenceState& state, std::span<const int32_t> ids) {
  std::vector<float> logits(ids.size() * loaded.vocab_size());
  const SequenceStep step{.state = &state, .tokens = ids, .logits = LogitsWanted::kAll};
  loaded.model->forward(loaded.workspace, std::span(&step, 1), logits);
  return logits;
}

size_t arg_max(std::span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// Where the largest two logits are closer than this, which of them wins says nothing.
constexpr double kNearTie = 0.05;

// [vocab] log-probabilities.
std::vector<double> log_softmax(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(x - largest);
  const double log_sum = largest + std::log(sum);
  std::vector<double> out(row.size());
  for (size_t i = 0; i < row.size(); ++i) out[i] = row[i] - log_sum;
  return out;
}

std::vector<std::string> usable_kernel_sets() {
  std::vector<std::string> names;
  const CpuFeatures features = probe_cpu_features();
  for (const KernelSet* set : kernel_sets()) {
    if (features.has(set->required)) names.emplace_back(set->name);
  }
  return names;
}

std::vector<TokenIds> read_windows(const nlohmann::json& golden, size_t count) {
  std::vector<TokenIds> windows = golden.at("heldout").at("windows").get<std::vector<TokenIds>>();
  windows.resize(std::min(count, windows.size()));
  return windows;
}

}  // namespace

LoadedModel::LoadedModel(std::unique_ptr<Model> opened, size_t threads)
    : pool(threads), workspace(pool, select_kernel_set(probe_cpu_features())), model(std::move(opened)) {}

LoadedModel::LoadedModel(const std::filesystem::path& folder, Numerics numerics, size_t threads,
                         const std::string& kernel_set)
    : pool(threads),
      workspace(pool, select_kernel_set(probe_cpu_features(), kernel_set)),
      model(Model::open(folder, {.numerics = numerics})) {}

std::vector<float> append_all(LoadedModel& loaded, SequenceState& state, std::span<const int32_t> ids,
                              const Chunks& chunks) {
  if (chunks.empty()) return append_chunk(loaded, state, ids);
  std::vector<float> logits;
  for (size_t part = 0; !ids.empty(); ++part) {
    const size_t count = std::min<size_t>(chunks[part % chunks.size()], ids.size());
    const auto rows = append_chunk(loaded, state, ids.first(count));
    logits.insert(logits.end(), rows.begin(), rows.end());
    ids = ids.subspan(count);
  }
  return logits;
}

std::vector<float> logits_of(LoadedModel& loaded, std::span<const int32_t> ids, const Chunks& chunks) {
  const auto state = loaded.model->new_state();
  return append_all(loaded, *state, ids, chunks);
}

std::map<uint32_t, std::vector<float>> hidden_of(LoadedModel& loaded, std::span<const int32_t> ids) {
  std::map<uint32_t, std::vector<float>> hidden;
  loaded.workspace.observer = [&](uint32_t index, std::span<const float> rows, uint32_t /*tokens*/) {
    hidden[index].assign(rows.begin(), rows.end());
  };
  logits_of(loaded, ids);
  loaded.workspace.observer = {};
  return hidden;
}

TokenIds greedy(LoadedModel& loaded, std::span<const int32_t> prompt, size_t count) {
  const auto state = loaded.model->new_state();
  std::vector<float> logits(loaded.vocab_size());
  TokenIds out;
  std::span<const int32_t> next = prompt;
  while (out.size() < count) {
    const SequenceStep step{.state = state.get(), .tokens = next, .logits = LogitsWanted::kLast};
    loaded.model->forward(loaded.workspace, std::span(&step, 1), logits);
    out.push_back(static_cast<int32_t>(arg_max(logits)));
    next = std::span(out).last(1);
  }
  return out;
}

double mean_nll(std::span<const float> logits, uint32_t vocab, std::span<const int32_t> ids) {
  double sum = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    sum -= log_softmax(logits.subspan(i * vocab, vocab))[static_cast<size_t>(ids[i + 1])];
  }
  return sum / static_cast<double>(ids.size() - 1);
}

Divergence divergence(std::span<const float> a, std::span<const float> b, uint32_t vocab) {
  const size_t rows = a.size() / vocab;
  Divergence sum;
  for (size_t i = 0; i < rows; ++i) {
    const auto row_a = a.subspan(i * vocab, vocab);
    const auto row_b = b.subspan(i * vocab, vocab);
    const auto log_a = log_softmax(row_a);
    const auto log_b = log_softmax(row_b);
    for (size_t c = 0; c < vocab; ++c) sum.mean_kl += std::exp(log_a[c]) * (log_a[c] - log_b[c]);
    sum.top1 += arg_max(row_a) == arg_max(row_b) ? 1 : 0;
  }
  return {.mean_kl = sum.mean_kl / static_cast<double>(rows), .top1 = sum.top1 / static_cast<double>(rows)};
}

Difference difference(std::span<const float> a, std::span<const float> b) {
  Difference worst;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::abs(double{a[i]} - double{b[i]});
    if (std::isnan(d)) return {.largest = std::numeric_limits<double>::infinity(), .at = i};
    if (d > worst.largest) worst = {.largest = d, .at = i};
  }
  return worst;
}

void check_nano(const std::filesystem::path& folder, double tolerance) {
  SCOPED_TRACE(folder.filename().string());
  const auto golden = open_golden(folder);
  const auto ids = read_tensor<int32_t>(golden, "input_ids");
  LoadedModel loaded(folder, Numerics::kExact);
  expect_close(logits_of(loaded, ids), read_tensor<float>(golden, "logits"), tolerance, "logits");

  // The last recorded one follows the final norm, which the observer shows under the next index.
  const auto hidden = hidden_of(loaded, ids);
  const uint32_t layers = loaded.model->config().layer_count();
  for (uint32_t i = 0; i <= layers; ++i) {
    const std::string name = "hidden." + std::to_string(i);
    const auto wanted = read_tensor<float>(golden, name);
    const auto& got = hidden.at(i == layers ? layers + 1 : i);
    ASSERT_GE(got.size(), wanted.size()) << name;
    expect_close(std::span(got).first(wanted.size()), wanted, tolerance, name);
  }
}

void check_nano_greedy(const std::filesystem::path& folder) {
  SCOPED_TRACE(folder.filename().string());
  const auto golden = open_golden(folder);
  const auto ids = read_tensor<int32_t>(golden, "input_ids");
  const auto prompt = static_cast<size_t>(read_tensor<int32_t>(golden, "greedy_prompt_len").at(0));
  const auto wanted = read_tensor<int32_t>(golden, "greedy_nocache_ids");
  LoadedModel loaded(folder, Numerics::kExact);
  EXPECT_EQ(greedy(loaded, std::span(ids).first(prompt), wanted.size()), wanted);
}

void check_exact_invariance(const std::filesystem::path& folder, double tolerance) {
  SCOPED_TRACE(folder.filename().string());
  const auto ids = read_tensor<int32_t>(open_golden(folder), "input_ids");
  LoadedModel one(folder, Numerics::kExact);
  const auto wanted = logits_of(one, ids);
  for (const Chunks& chunks : {Chunks{1}, Chunks{64}, Chunks{7, 1, 33, 1, 1, 90}, Chunks{3, 127}}) {
    expect_close(logits_of(one, ids, chunks), wanted, tolerance,
                 "chunks of " + std::to_string(chunks[0]) + ", ...");
  }

  LoadedModel two(folder, Numerics::kExact, 2);
  expect_close(logits_of(two, ids), wanted, tolerance, "2 threads");
  expect_close(logits_of(two, ids, {5, 1}), wanted, tolerance, "2 threads, chunks of 5 and 1");
  for (const std::string& set : usable_kernel_sets()) {
    LoadedModel other(folder, Numerics::kExact, 1, set);
    expect_close(logits_of(other, ids), wanted, tolerance, "kernel set " + set);
  }

  // Three sequences of one batch: the ids, a prefix of them, and the same ids one token behind.
  const uint32_t vocab = two.vocab_size();
  const auto first = two.model->new_state();
  const auto second = two.model->new_state();
  const auto third = two.model->new_state();
  const auto half = std::span<const int32_t>(ids).first(ids.size() / 2);
  append_all(two, *third, std::span(ids).first(1));
  const std::vector<SequenceStep> steps = {
      {.state = first.get(), .tokens = ids, .logits = LogitsWanted::kAll},
      {.state = second.get(), .tokens = half, .logits = LogitsWanted::kLast},
      {.state = third.get(), .tokens = std::span(ids).subspan(1), .logits = LogitsWanted::kAll}};
  std::vector<float> logits(Model::logits_rows(steps) * vocab);
  two.model->forward(two.workspace, steps, logits);
  const auto rows = [&](std::span<const float> all, size_t begin, size_t end) {
    return all.subspan(begin * vocab, (end - begin) * vocab);
  };
  const size_t n = ids.size();
  expect_close(rows(logits, 0, n), wanted, tolerance, "first of the batch");
  expect_close(rows(logits, n, n + 1), rows(wanted, n / 2 - 1, n / 2), tolerance, "second of the batch");
  expect_close(rows(logits, n + 1, 2 * n), rows(wanted, 1, n), tolerance, "third of the batch");
}

void check_rollback(const std::filesystem::path& folder, uint32_t draft, double tolerance) {
  SCOPED_TRACE(folder.filename().string());
  const auto ids = read_tensor<int32_t>(open_golden(folder), "input_ids");
  LoadedModel loaded(folder, Numerics::kExact);
  const auto wanted = logits_of(loaded, ids);
  const TokenIds wrong(ids.rbegin(), ids.rbegin() + draft);

  const auto state = loaded.model->new_state();
  std::vector<float> logits;
  const Chunks sizes = {1, 3, 1, 40, 1, 7};
  std::span<const int32_t> rest = ids;
  for (size_t part = 0; !rest.empty(); ++part) {
    const uint32_t before = state->length();
    append_all(loaded, *state, wrong);
    ASSERT_LE(state->truncatable_to(), before) << "at length " << before;
    state->truncate(before);
    ASSERT_EQ(state->length(), before);
    const size_t count = std::min<size_t>(sizes[part % sizes.size()], rest.size());
    const auto rows = append_all(loaded, *state, rest.first(count));
    logits.insert(logits.end(), rows.begin(), rows.end());
    rest = rest.subspan(count);
  }
  expect_close(logits, wanted, tolerance, "blocks after wrong drafts");
}

void check_snapshots(const std::filesystem::path& folder, double tolerance) {
  SCOPED_TRACE(folder.filename().string());
  const auto ids = read_tensor<int32_t>(open_golden(folder), "input_ids");
  LoadedModel loaded(folder, Numerics::kExact);
  const auto wanted = logits_of(loaded, ids);
  const uint32_t vocab = loaded.vocab_size();
  for (const size_t at : {size_t{1}, size_t{37}, size_t{130}}) {
    const auto begin = std::span<const int32_t>(ids).first(at);
    const auto rest = std::span<const int32_t>(ids).subspan(at);
    const auto rest_wanted = std::span<const float>(wanted).subspan(at * vocab);
    const std::string where = " at " + std::to_string(at);

    const auto state = loaded.model->new_state();
    append_all(loaded, *state, begin, {50});
    const StateSnapshot snapshot = state->snapshot();
    EXPECT_EQ(snapshot.length, at);
    StateWriter writer;
    state->save(writer);
    const auto bytes = writer.finish();

    append_all(loaded, *state, begin);  // something else
    state->restore(snapshot);
    ASSERT_EQ(state->length(), at);
    expect_close(append_all(loaded, *state, rest), rest_wanted, tolerance, "after restore" + where);

    const auto other = loaded.model->new_state();
    other->restore(snapshot);
    EXPECT_EQ(other->truncatable_to(), snapshot.truncatable_to());
    expect_close(append_all(loaded, *other, rest, {1}), rest_wanted, tolerance, "restored twice" + where);

    const auto loaded_state = loaded.model->new_state();
    StateReader reader(bytes, "saved state");
    loaded_state->load(reader);
    reader.expect_end();
    expect_close(append_all(loaded, *loaded_state, rest, {9}), rest_wanted, tolerance, "after load" + where);
  }
}

void check_mini(const std::filesystem::path& folder, double tolerance) {
  SCOPED_TRACE(folder.filename().string());
  const auto golden = open_golden(folder);
  const auto texts = read_json_file(folder / "golden.json");
  LoadedModel loaded(folder, Numerics::kExact, 2);
  const uint32_t vocab = loaded.vocab_size();

  const auto ids = read_tensor<int32_t>(golden, "doc_ids");
  const auto doc = logits_of(loaded, ids);
  const auto doc_wanted = read_f16(golden, "doc_logits");
  ASSERT_EQ(doc.size(), doc_wanted.size());
  double worst = 0;
  for (size_t i = 0; i < doc.size(); ++i) {
    const double rounding = std::abs(double{doc_wanted[i]}) * 0x1p-11 + 0x1p-24;
    worst = std::max(worst, std::abs(double{doc[i]} - double{doc_wanted[i]}) - rounding);
  }
  EXPECT_LE(worst, tolerance) << "doc_logits beyond their rounding";

  size_t number = 0;
  for (const auto& prompt : texts.at("prompts")) {
    const auto prompt_ids = prompt.at("prompt_ids").get<TokenIds>();
    const std::string name = "logits." + std::to_string(number++);
    const auto wanted = read_tensor<float>(golden, name);
    const auto got = logits_of(loaded, prompt_ids, {100});
    expect_close(std::span(got).last(wanted.size()), wanted, tolerance, name);

    const auto greedy_ids = prompt.at("greedy_ids").get<TokenIds>();
    const auto margins = prompt.at("greedy_margins").get<std::vector<double>>();
    const auto near_tie = std::find_if(margins.begin(), margins.end(), [](double m) { return m < kNearTie; });
    const auto count = static_cast<size_t>(near_tie - margins.begin());
    const auto continued = greedy(loaded, prompt_ids, count);
    EXPECT_EQ(continued, TokenIds(greedy_ids.begin(), greedy_ids.begin() + static_cast<ptrdiff_t>(count)))
        << name;
  }
  EXPECT_GT(number, 0U);
  EXPECT_EQ(doc.size() % vocab, 0U);
}

void check_nll(const std::filesystem::path& folder, Numerics numerics, size_t windows, double relative) {
  SCOPED_TRACE(folder.filename().string());
  const auto texts = read_json_file(folder / "golden.json");
  const auto wanted = texts.at("heldout").at("nll_per_token").get<std::vector<double>>();
  LoadedModel loaded(folder, numerics, 2);
  size_t i = 0;
  for (const TokenIds& window : read_windows(texts, windows)) {
    const double nll = mean_nll(logits_of(loaded, window, {256}), loaded.vocab_size(), window);
    EXPECT_NEAR(nll, wanted[i], relative * wanted[i]) << "window " << i;
    ++i;
  }
}

void check_fast(const std::filesystem::path& folder, KvElement element, size_t windows, double max_kl,
                double min_top1) {
  SCOPED_TRACE(folder.filename().string());
  auto texts = read_windows(read_json_file(folder / "golden.json"), windows);
  texts.push_back(read_tensor<int32_t>(open_golden(folder), "doc_ids"));
  LoadedModel exact(folder, Numerics::kExact, 2);
  LoadedModel fast(Model::open(folder, {.numerics = Numerics::kFast, .kv_element = element}), 2);
  Divergence d;
  double positions = 0;
  for (const TokenIds& ids : texts) {
    const Divergence part =
        divergence(logits_of(exact, ids, {256}), logits_of(fast, ids, {256}), exact.vocab_size());
    const auto count = static_cast<double>(ids.size());
    d.mean_kl += part.mean_kl * count;
    d.top1 += part.top1 * count;
    positions += count;
  }
  d.mean_kl /= positions;
  d.top1 /= positions;
  EXPECT_LT(d.mean_kl, max_kl);
  EXPECT_GT(d.top1, min_top1);
  ::testing::Test::RecordProperty("mean KL", std::to_string(d.mean_kl));
  ::testing::Test::RecordProperty("top-1", std::to_string(d.top1));
}

}  // namespace mach::testing
