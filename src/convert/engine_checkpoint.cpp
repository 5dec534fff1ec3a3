#include "convert/engine_checkpoint.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/file.h"
#include "base/new_folder.h"
#include "convert/resident_tensors.h"
#include "convert/sliced_experts.h"
#include "experts/sidecar_writer.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStateFile = ".mach_artifact_state.json";
constexpr std::string_view kArtifactFile = "mach_artifact.json";
constexpr uint64_t kSpareBytes = uint64_t{64} << 20;  // of the disk, for headers and the file system
constexpr uint64_t kMaxSideFile = uint64_t{1} << 30;  // tokenizers, templates, licences
constexpr uint64_t kMaxStateBytes = uint64_t{64} << 20;

struct Shard {
  std::string name;
  std::vector<OutputTensor> tensors;
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const OutputTensor& tensor : tensors) sum += tensor.bytes;
    return sum;
  }
  std::string header() const {
    std::vector<TensorSpec> specs;
    for (const OutputTensor& tensor : tensors) specs.push_back(tensor.spec);
    return safetensors_header_text(specs);
  }
};

std::vector<Shard> split_shards(std::vector<OutputTensor> tensors, uint64_t limit) {
  std::vector<Shard> shards(1);
  for (OutputTensor& tensor : tensors) {
    if (!shards.back().tensors.empty() && shards.back().bytes() + tensor.bytes > limit) shards.emplace_back();
    shards.back().tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < shards.size(); ++i)
    shards[i].name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

class ArtifactWriter {
 public:
  ArtifactWriter(const SourceCheckpoint& source, const ArtifactOptions& options)
      : source_(source),
        options_(options),
        folder_(options.out, Leftover::kKeep),
        label_(kept_label(options.kept)) {
    std::vector<OutputTensor> tensors = resident_tensors(source, options.kept);
    if (!options.sidecar && source.experts) {
      for (OutputTensor& tensor : sliced_experts(source, options.kept)) tensors.push_back(std::move(tensor));
    }
    shards_ = split_shards(std::move(tensors), options.shard_bytes);
    for (const Shard& shard : shards_) total_ += shard.bytes();
    if (options.sidecar) {
      for (const ExpertLayerSpec& layer : sidecar_layers()) total_ += layer.experts * layer.record.size;
    }
  }

  ArtifactResult write() {
    take_over();
    check_room();
    for (const Shard& shard : shards_) write_shard(shard);
    if (options_.sidecar && source_.experts) write_sidecar();
    write_index();
    copy_side_files();
    const std::string name =
        fmt::format("{}-{}", fs::path(source_.directory.name()).filename().string(), label_);
    write_record(name);
    fs::remove(folder_.partial() / kStateFile);
    write_file_atomically(folder_.partial() / "config.json", config().dump(2) + "\n");
    folder_.commit();
    return {name, total_, reused_};
  }

 private:
  const std::vector<uint32_t>* kept_of(uint32_t layer) const {  // null: all, a prediction block's
    return layer < options_.kept.size() ? &options_.kept[layer] : nullptr;
  }

  std::vector<ExpertLayerSpec> sidecar_layers() const {
    std::vector<ExpertLayerSpec> layers;
    if (!source_.experts) return layers;
    for (ExpertLayerSpec layer : source_.experts->layers()) {
      if (const auto* kept = kept_of(layer.layer)) layer.experts = static_cast<uint32_t>(kept->size());
      layers.push_back(layer);
    }
    return layers;
  }

  // What the partial folder is made of: other sources or plans must not continue it.
  std::string state_text() const {
    Json state;
    for (size_t i = 0; i < source_.files.catalog().shards().size(); ++i) {
      const fs::path path = source_.files.shard_path(i);
      state["shards"].push_back({{"path", fs::canonical(path).string()},
                                 {"size", fs::file_size(path)},
                                 {"modified", fs::last_write_time(path).time_since_epoch().count()}});
    }
    state["kept"] = options_.kept;
    state["sidecar"] = options_.sidecar;
    state["shard_bytes"] = options_.shard_bytes;
    return state.dump() + "\n";
  }

  void take_over() {
    const fs::path path = folder_.partial() / kStateFile;
    const std::string state = state_text();
    std::error_code ignored;
    if (fs::exists(path, ignored) && read_text_file(path, kMaxStateBytes) == state) {
      remove_stale_files();
      return;
    }
    for (const auto& entry : fs::directory_iterator(folder_.partial())) fs::remove_all(entry.path(), ignored);
    write_file_atomically(path, state);
  }

  // Unfinished files of a killed run have hidden names with a process id (AtomicFile); nobody else writes here.
  void remove_stale_files() const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_.partial())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') && name != kStateFile) fs::remove(entry.path(), ignored);
    }
  }

  uint64_t bytes_there() const {
    uint64_t sum = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.partial())) {
      if (entry.is_regular_file()) sum += entry.file_size();
    }
    return sum;
  }

  void check_room() const {
    const uint64_t there = bytes_there();
    const uint64_t needed = (total_ > there ? total_ - there : 0) + kSpareBytes;
    const uint64_t room = fs::space(folder_.partial()).available;
    if (room >= needed) return;
    throw Error(ErrorCode::kOutOfBudget, fmt::format("{}: {} more bytes are needed, {} are free on the disk",
                                                     options_.out.string(), needed, room));
  }

  void advance(uint64_t bytes) {
    done_ += bytes;
    if (options_.progress && !options_.progress(done_, total_)) {
      throw Error(ErrorCode::kCancelled,
                  fmt::format("stopped; the same command goes on with {}", folder_.partial().string()));
    }
  }

  void write_shard(const Shard& shard) {
    const fs::path path = folder_.partial() / shard.name;
    const std::string header = shard.header();
    std::error_code error;
    if (const uint64_t size = fs::file_size(path, error); !error && size == header.size() + shard.bytes()) {
      reused_ += shard.bytes();
      return advance(shard.bytes());
    }
    AtomicFile file(path);
    file.write(header);
    for (const OutputTensor& tensor : shard.tensors) {
      uint64_t written = 0;
      tensor.write([&](std::span<const std::byte> bytes) {
        file.write(bytes);
        written += bytes.size();
        advance(bytes.size());
      });
      if (written != tensor.bytes)
        throw Error(ErrorCode::kInternal, tensor.spec.name + ": wrong number of bytes");
    }
    file.commit();
  }

  void write_sidecar() {
    SidecarWriter writer(folder_.partial(), source_.config.model_type);
    ReadContext context(make_reader(ReaderKind::kBuffered, source_.experts->files()));
    for (const ExpertLayerSpec& layer : sidecar_layers()) {
      if (writer.has_layer(layer)) {
        reused_ += layer.experts * layer.record.size;
        advance(layer.experts * layer.record.size);
        continue;
      }
      AlignedBuffer record(layer.record.size, kDirectIoAlignment);
      const auto* kept = kept_of(layer.layer);
      writer.begin_layer(layer);
      for (uint32_t i = 0; i < layer.experts; ++i) {
        source_.experts->read({layer.layer, kept != nullptr ? (*kept)[i] : i}, record.bytes(), context);
        writer.append(std::span<const std::byte>(record.bytes()));
        advance(record.size());
      }
      writer.end_layer();
    }
    writer.finish();
  }

  void write_index() const {
    Json map = Json::object();
    uint64_t size = 0;
    for (const Shard& shard : shards_) {
      for (const OutputTensor& tensor : shard.tensors) map[tensor.spec.name] = shard.name;
      size += shard.bytes();
    }
    const Json index = {{"metadata", {{"total_size", size}}}, {"weight_map", map}};
    write_file_atomically(folder_.partial() / "model.safetensors.index.json", index.dump(1) + "\n");
  }

  // Tokenizer, templates, generation settings, licence: whatever else lies in the source's folder.
  void copy_side_files() const {
    for (const auto& entry : fs::directory_iterator(source_.directory.path())) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_regular_file() || name.starts_with('.') || name.ends_with(".safetensors") ||
          name.ends_with(".safetensors.index.json") || name == "config.json" || name == kArtifactFile) {
        continue;
      }
      const auto path = source_.directory.file(name);
      if (path && fs::file_size(*path) <= kMaxSideFile)
        write_file_atomically(folder_.partial() / name, read_text_file(*path, kMaxSideFile));
    }
  }

  void write_record(const std::string& name) const {
    Json counts = Json::array();
    for (const auto& ids : options_.kept) counts.push_back(ids.size());
    const Json record = {
        {"name", name},      {"source", source_.directory.name()}, {"candidate_id", options_.candidate_id},
        {"experts", label_}, {"experts_per_layer", counts},        {"kept", options_.kept}};
    write_file_atomically(folder_.partial() / kArtifactFile, record.dump() + "\n");
  }

  // The key that counts experts stays what it was where counts differ between layers: ids of an unpruned block, and the bound
  // of kLayerExpertsKey, are measured by it.
  Json config() const {
    Json root = source_.config_json;
    std::set<size_t> counts;
    for (const auto& ids : options_.kept) {
      if (!ids.empty()) counts.insert(ids.size());
    }
    Json& text = root.contains("text_config") ? root["text_config"] : root;
    text.erase(kLayerExpertsKey);
    root.erase(kLayerExpertsKey);
    const bool all = counts.size() == 1 && *counts.begin() == source_.config.moe.experts;
    if (counts.empty() || all) return root;
    if (counts.size() == 1 && source_.plan.mtp_layers == 0) {
      for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
        if (text.contains(key)) text[key] = *counts.begin();
      }
      return root;
    }
    Json list = Json::array();
    for (const auto& ids : options_.kept) list.push_back(ids.size());
    text[kLayerExpertsKey] = list;
    return root;
  }

  const SourceCheckpoint& source_;
  const ArtifactOptions& options_;
  NewFolder folder_;
  const std::string label_;
  std::vector<Shard> shards_;
  uint64_t total_ = 0, done_ = 0, reused_ = 0;
};

}  // namespace

ArtifactResult write_engine_checkpoint(const SourceCheckpoint& source, const ArtifactOptions& options) {
  return ArtifactWriter(source, options).write();
}

}  // namespace mach
