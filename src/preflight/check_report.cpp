#include "preflight/check_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/registry.h"
#include "arch/sidecar_layout.h"
#include "experts/bank_size.h"
#include "experts/plane_ranges.h"
#include "io/json.h"
#include "preflight/draft_facts.h"
#include "quant/codec.h"
#include "quant/panel_layout.h"

namespace mach {
namespace {

constexpr uint32_t kDefaultContext = 8192;

// What is wrong with a checkpoint, as opposed to with this machine or the question.
bool is_about_the_model(ErrorCode code) {
  return code == ErrorCode::kUnsupported || code == ErrorCode::kCorruptFile || code == ErrorCode::kTooLarge ||
         code == ErrorCode::kNotFound || code == ErrorCode::kInvalidRequest;
}

// The formats that loading will bind; it refuses what the codec table does.
void check_formats(const TensorPlan& plan) {
  const auto check = [&](const WeightRef& ref) {
    check_format(ref.format, ref.cols, plan.tensors[ref.codes.tensor].name);
  };
  for (const auto& [name, ref] : plan.matrices) check(ref);
  for (const ExpertLayerPlan& layer : plan.experts) {
    check(layer.experts.front().gate);
    check(layer.experts.front().down);
  }
}

class Inspection {
 public:
  Inspection(const ModelSource& source, const CheckOptions& options) : source_(source), options_(options) {}

  CheckReport run() {
    report_.model = source_.name();
    report_.local = source_.folder().has_value();
    const std::string text = config_text();
    try {
      if (!text.empty()) read_config(text);
      if (config_) read_tensors();
      report_.supported = config_.has_value();
    } catch (const Error& error) {
      if (!is_about_the_model(error.code())) throw;
      report_.problem = error.what();
    }
    if (config_) {
      measure();
      if (report_.memory) forecast();
    }
    judge_paths();
    conclude();
    return std::move(report_);
  }

 private:
  // Empty after a file so long that nobody parses it.
  std::string config_text() {
    try {
      return source_.config_text();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kTooLarge) throw;
      report_.problem = error.what();
      return {};
    }
  }

  void read_config(const std::string& text) {
    const nlohmann::json json = parse_json(text, source_.config_name());
    if (json.is_object()) {
      if (const auto type = json.find("model_type"); type != json.end() && type->is_string())
        report_.model_type = type->get<std::string>();
    }
    config_ = parse_model_config(json, source_.config_name());
    if (options_.context_length && *options_.context_length > config_->max_position_embeddings) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("--context-length: {} is more than the {} positions of the model",
                              *options_.context_length, config_->max_position_embeddings));
    }
    report_.parameters = count_parameters(*config_);
    report_.kv = kv_bytes(*config_, options_.kv_element);
    read_artifacts();
  }

  void read_artifacts() {
    ArtifactFacts& artifacts = report_.artifacts;
    artifacts.tokenizer = source_.has_file("tokenizer.json");
    artifacts.chat_template = chat_template();
    read_sidecar();
    if (options_.draft_dir) {
      artifacts.draft_dir = options_.draft_dir->string();
      const DraftFacts draft = inspect_draft(*options_.draft_dir, *config_);
      artifacts.draft = draft.state;
      artifacts.draft_fault = draft.fault;
      draft_bytes_ = draft.bytes;
    }
  }

  // In one of the places where the renderer looks. Only small files of a model that is here are read for it.
  std::optional<bool> chat_template() const {
    if (source_.has_file("chat_template.jinja")) return true;
    if (!source_.folder()) return std::nullopt;
    if (source_.has_file("chat_template.json")) return true;
    try {
      const auto text = source_.text("tokenizer_config.json");
      return text && parse_json(*text, "tokenizer_config.json").contains("chat_template");
    } catch (const Error&) {  // loading takes such a file for none
      return false;
    }
  }

  // As the loader reads it: the layout, that it is this model's, and that its files are whole.
  void read_sidecar() {
    const std::string folder = std::string(kSidecarFolder) + "/";
    const std::string path = folder + std::string(kSidecarLayoutFile);
    try {
      const auto text = source_.text(path);
      if (!text) return;
      const std::string what = source_.name() + ": " + path;
      SidecarLayout layout = parse_sidecar_layout(*text, what);
      check_sidecar_layout(layout, *config_, what);
      for (const SidecarLayer& layer : layout.layers) {
        const std::string file = folder + sidecar_layer_file(layer.layer);
        const auto size = source_.file_size(file);
        if (!size) throw Error(ErrorCode::kNotFound, source_.name() + ": " + file + " is missing");
        if (*size != layer.file_size()) {
          throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {} has {} bytes, its layout says {}",
                                                           source_.name(), file, *size, layer.file_size()));
        }
      }
      report_.artifacts.sidecar = true;
      sidecar_ = std::move(layout);
    } catch (const Error& error) {
      report_.artifacts.sidecar_fault = error.what();
      report_.notes.push_back(std::string("sidecar: ") + error.what());
    }
  }

  void read_tensors() {
    const auto catalog = source_.catalog();
    if (!catalog) {
      if (!source_.catalog_note().empty()) report_.notes.push_back(source_.catalog_note());
      if (const auto format = announced_expert_format(*config_)) report_.quant = weight_format_label(*format);
      return;
    }
    plan_ = build_tensor_plan(*config_, *catalog, {.experts_in_sidecar = report_.artifacts.sidecar});
    check_formats(*plan_);
    report_.artifacts.weights = true;
    report_.layout = expert_layout_name(plan_->layout);
    report_.quant = plan_->quant;
    look_for_mtp(*catalog);
    if (!plan_->unused.empty()) {
      report_.notes.push_back(fmt::format("{} tensors are not part of the model, the first is {}",
                                          plan_->unused.size(), plan_->unused.front()));
    }
  }

  // A block that is there and wrong keeps speculation from using it, not the model from loading.
  void look_for_mtp(const TensorCatalog& catalog) {
    if (config_->mtp_layers == 0 && arch_row(config_->family).mtp_parameters == nullptr) return;
    try {
      const TensorPlan plan = build_tensor_plan(
          *config_, catalog, {.mtp = true, .experts_in_sidecar = report_.artifacts.sidecar});
      report_.artifacts.mtp_block = plan.mtp_layers > 0;
    } catch (const Error& error) {
      report_.notes.push_back(std::string("multi-token prediction block: ") + error.what());
    }
  }

  // Are all routed experts of a kind that a prompt takes in groups (RunShape)?
  bool has_grouped_experts() const {
    if (!plan_) return false;
    const auto grouped = [](const WeightRef& ref) {
      const CodecId codec = ref.format.codec;
      const bool integers = codec == CodecId::kAffine || codec == CodecId::kMxFp4 || codec == CodecId::kNvFp4;
      return integers && has_panel_order(ref.format);
    };
    for (const ExpertLayerPlan& layer : plan_->experts) {
      for (const ExpertRef& expert : layer.experts) {
        if (!grouped(expert.gate) || !grouped(expert.up) || !grouped(expert.down)) return false;
      }
    }
    return !plan_->experts.empty();
  }

  // Sizes: exact where headers were read, else as config.json announces them.
  void measure() {
    std::optional<ModelBytes> bytes = plan_ ? model_bytes(*config_, *plan_) : estimate_model_bytes(*config_);
    const bool planned = plan_ && (!plan_->experts.empty() || plan_->layout == ExpertLayout::kNone);
    report_.exact_sizes = planned || (plan_ && sidecar_);
    if (bytes && !planned && !add_sidecar(*bytes) && plan_) bytes.reset();  // nothing tells the experts' size
    if (!bytes) return;
    MemoryRequest request;
    request.run.context =
        options_.context_length.value_or(std::min(config_->max_position_embeddings, kDefaultContext));
    request.run.threads = options_.threads;
    request.run.int8_activations = is_quantised();
    request.run.grouped_experts = has_grouped_experts();
    request.run.kv_element = options_.kv_element;
    request.run.bf16_activations = request.run.bf16_experts = !is_quantised();
    if (plan_) hold(request);
    request.expert_cache_bytes = options_.expert_cache_bytes;
    request.draft_bytes = draft_bytes_;
    request.tokenizer_file_bytes = source_.file_size("tokenizer.json").value_or(0);
    request.memory = options_.memory;
    report_.memory = estimate_memory(*config_, *bytes, request);
    const MemoryEstimate& memory = *report_.memory;
    if (memory.bank >= memory.least_bank()) return;
    report_.notes.push_back(fmt::format(
        "an expert cache of {:.3f} GB is smaller than one token's working set; the smallest that works is "
        "{:.3f} GB",
        static_cast<double>(memory.bank) / 1e9, static_cast<double>(memory.least_bank()) / 1e9));
  }

  // As the loader holds the weights in fast mode: a sidecar comes before the shards.
  void hold(MemoryRequest& request) const {
    request.held = held_weights(*config_, *plan_, options_.float_weights);
    request.run.bf16_activations = request.held->resident.bf16;
    request.run.bf16_experts = request.held->experts.bf16;
    request.layers = sidecar_ ? expert_layers(*sidecar_) : expert_layers(*plan_);
    std::erase_if(request.layers,
                  [&](const ExpertLayerSpec& layer) { return layer.layer >= config_->layer_count(); });
    for (ExpertLayerSpec& layer : request.layers) layer.record = reordered(layer.record, RecordOrder::kFast);
    request.read_staging = sidecar_ ? read_staging(*sidecar_, RecordOrder::kFast) : read_staging(*plan_);
    if (sidecar_) request.held->experts = {.copied = expert_record_bytes(request.layers)};
  }

  // Experts that only the sidecar holds, record by record. False: there is no sidecar.
  bool add_sidecar(ModelBytes& bytes) const {
    if (!sidecar_) return false;
    bytes.routed = bytes.token_working_set = 0;
    bytes.expert.clear();
    for (const SidecarLayer& layer : sidecar_->layers) {
      if (layer.layer >= config_->layer_count()) continue;  // of a multi-token prediction block
      bytes.expert.push_back(layer.record.size);
      bytes.routed += layer.file_size();
      bytes.token_working_set += layer.record.size * config_->moe.top_k;
    }
    return true;
  }

  // Whether products quantise their inputs: any matrix of low-bit weights.
  bool is_quantised() const {
    if (!plan_) return config_->quant.method != QuantMethod::kNone;
    const auto low = [](const auto& named) { return named.second.format.scale != ScaleType::kNone; };
    return std::any_of(plan_->matrices.begin(), plan_->matrices.end(), low) ||
           (!plan_->experts.empty() &&
            plan_->experts.front().experts.front().gate.format.scale != ScaleType::kNone);
  }

  void forecast() {
    if (!options_.memory_bandwidth) return;
    const uint64_t lookup = plan_ ? lookup_bytes() : report_.parameters->embedding * 2;
    report_.forecast = forecast_decode(*report_.memory, lookup,
                                       {.memory = *options_.memory_bandwidth, .disk = options_.disk_rate});
  }

  // Of tables from which a token reads some rows: the embedding, unless the product of the head reads the same bytes, and the
  // rows of a head that is multiplied in 8 bits.
  uint64_t lookup_bytes() const {
    const WeightRef* table = plan_->find_matrix("embed_tokens");
    const WeightRef* head = plan_->find_matrix("lm_head");
    const auto form =
        head == nullptr ? std::nullopt : HoldingRule(*plan_, options_.float_weights).form(*head);
    uint64_t bytes = table == nullptr || (plan_->tied_head && !form) ? 0 : table->bytes();
    if (form && form->format != head->format && !plan_->tied_head) bytes += head->bytes();
    return bytes;
  }

  void judge_paths() {
    PathFacts facts;
    if (config_) facts = path_facts(*config_, plan_ ? &*plan_ : nullptr);
    facts.tokenizer = report_.artifacts.tokenizer;
    facts.chat_template = report_.artifacts.chat_template;
    facts.sidecar = report_.artifacts.sidecar;
    facts.draft = report_.artifacts.draft;
    facts.draft_fault = report_.artifacts.draft_fault;
    facts.mtp_block = report_.artifacts.mtp_block;
    for (const ServingPathRow& row : serving_paths()) {
      PathVerdict verdict{PathStatus::kBlocked, "mach does not load this checkpoint"};
      if (report_.supported) verdict = path_verdict(row.path, facts);
      report_.paths.push_back({std::string(row.name), std::move(verdict)});
    }
  }

  PathStatus status(ServingPath path) const {
    return report_.paths[static_cast<size_t>(path)].verdict.status;
  }

  void conclude() {
    if (!report_.supported) {
      report_.verdict = "not supported";
      return;
    }
    const Fit resident = report_.memory ? report_.memory->resident : Fit::kUnknown;
    const Fit streaming = report_.memory ? report_.memory->streaming : Fit::kUnknown;
    const bool can_stream = status(ServingPath::kExpertStreaming) == PathStatus::kOk;
    const bool stream = resident == Fit::kWontFit || resident == Fit::kTight;
    if (resident == Fit::kUnknown) {
      report_.verdict = "supported; whether it fits in memory is not known";
    } else if (!stream) {
      report_.verdict = "supported; all experts fit in memory";
    } else if (streaming == Fit::kWontFit) {
      report_.verdict =
          "supported, but it does not fit in this machine's memory, not even by streaming experts";
    } else if (can_stream) {
      report_.verdict = "supported by streaming experts from disk";
    } else {
      report_.verdict = "supported, but its experts do not fit in this machine's memory";
    }
    serve(stream);
  }

  void serve(bool stream) {
    if (status(ServingPath::kOpenAiHttp) != PathStatus::kOk) {
      if (report_.artifacts.tokenizer && report_.local)
        report_.serve_with = fmt::format("mach-generate {} --prompt TEXT", shell_word(source_.name()));
      return;
    }
    report_.serve_with = fmt::format("mach-serve --checkpoint {} {}", shell_word(source_.name()),
                                     stream ? "--streaming" : "--no-streaming");
    if (!report_.local) report_.serve_with = "mach pull " + source_.name() + " && " + report_.serve_with;
    if (stream && options_.expert_cache_bytes)
      report_.serve_with +=
          fmt::format(" --expert-cache-gb {:g}", static_cast<double>(*options_.expert_cache_bytes) / 1e9);
    if (status(ServingPath::kSpecdec) == PathStatus::kOk && report_.artifacts.draft == DraftState::kUsable)
      report_.serve_with += " --draft-dir " + shell_word(report_.artifacts.draft_dir);
    else if (status(ServingPath::kSpecdec) != PathStatus::kOk)
      report_.serve_with += " --target-only";
  }

  // Quoted for a shell where it is more than a plain word.
  static std::string shell_word(const std::string& word) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 ||
             std::string_view("._-/+@:,=~").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (plain) return word;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
  }

  const ModelSource& source_;
  const CheckOptions& options_;
  CheckReport report_;
  std::optional<ModelConfig> config_;
  std::optional<TensorPlan> plan_;
  std::optional<SidecarLayout> sidecar_;
  uint64_t draft_bytes_ = 0;
};

}  // namespace

CheckReport make_check_report(const ModelSource& source, const CheckOptions& options) {
  return Inspection(source, options).run();
}

PathMatrix path_matrix() {
  std::vector<const ArchRow*> rows;
  for (const ArchRow& row : arch_rows()) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const ArchRow* a, const ArchRow* b) { return a->model_type < b->model_type; });
  PathMatrix out;
  for (const ArchRow* row : rows) out.model_types.emplace_back(row->model_type);
  for (const ServingPathRow& path : serving_paths()) {
    auto& line = out.verdicts.emplace_back();
    for (const ArchRow* row : rows) line.push_back(path_verdict(path.path, {.arch = row}));
  }
  return out;
}

}  // namespace mach
