#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/json.h"
#include "io/shard_index.h"
#include "preflight/model_source.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kListingName = "listing.json";
constexpr const char* kLayoutName = "expert_sidecar/layout.json";

// Headers beyond these are not cheap: reports then rest on what config.json announces.
constexpr size_t kMaxShards = 256;
constexpr uint64_t kMaxHeaderBytes = uint64_t{64} << 20;  // of one shard
constexpr uint64_t kFirstPart = uint64_t{256} << 10;      // holds most headers whole
constexpr size_t kParallel = 4;

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(ErrorCode::kIo, "cannot create " + path.string() + ": " + error.message());
}

void keep(const fs::path& path, std::string_view text) {
  make_folders(path.parent_path());
  write_file_atomically(path, text);
}

// The shards that a checkpoint of these files consists of, as checkpoint_files.h chooses them.
std::vector<std::string> shard_names(const std::map<std::string, uint64_t>& sizes, const ShardIndex* index) {
  if (index != nullptr) return index->shards;
  if (sizes.contains("model.safetensors")) return {"model.safetensors"};
  std::vector<std::string> names;
  for (const auto& [name, size] : sizes) {
    if (name.starts_with("model") && name.ends_with(".safetensors") && shard_name_fault(name) == nullptr)
      names.push_back(name);
  }
  return names;
}

// A repository's facts as they lie in the cache.
class KeptSource final : public ModelSource {
 public:
  KeptSource(HubModelId id, fs::path folder) : id_(std::move(id)), kept_(std::move(folder)) {
    const fs::path path = kept_ / kListingName;
    const nlohmann::json listing = read_json_file(path);
    const auto files = listing.is_object() ? listing.find("files") : listing.end();
    if (!listing.is_object() || files == listing.end() || !files->is_object())
      throw Error(ErrorCode::kCorruptFile, path.string() + ": no object \"files\"");
    for (const auto& [name, size] : files->items()) {
      if (!size.is_number_unsigned())
        throw Error(ErrorCode::kCorruptFile, path.string() + ": a size is not a number of bytes");
      sizes_[name] = size.get<uint64_t>();
    }
    if (const auto note = listing.find("headers_note"); note != listing.end() && note->is_string())
      headers_note_ = note->get<std::string>();
  }

  std::string name() const override { return id_.repo; }
  std::optional<fs::path> folder() const override { return std::nullopt; }
  std::string config_name() const override { return id_.repo + ": config.json"; }
  std::string config_text() const override {
    return read_text_file(kept_ / "config.json", kMaxCheckedConfigBytes);
  }
  std::optional<TensorCatalog> catalog() const override {
    if (!headers_note_.empty()) return std::nullopt;
    std::optional<ShardIndex> index;
    if (const auto text = kept(kIndexName, kMaxShardIndexBytes))
      index = parse_shard_index(*text, id_.repo + ": " + kIndexName);
    std::vector<ShardHeader> shards;
    for (const std::string& name : shard_names(sizes_, index ? &*index : nullptr)) {
      const auto size = sizes_.find(name);
      const auto bytes = kept("headers/" + name, kMaxHeaderBytes);
      if (size == sizes_.end() || !bytes)
        throw Error(ErrorCode::kNotFound, id_.repo + ": the repository has no file " + name);
      shards.push_back({name, parse_safetensors_header(std::as_bytes(std::span(*bytes)), size->second,
                                                       id_.repo + ": " + name)});
    }
    if (shards.empty()) throw Error(ErrorCode::kNotFound, id_.repo + " has no safetensors weights");
    return TensorCatalog::build(shards, index ? &*index : nullptr, id_.repo);
  }
  std::string catalog_note() const override { return headers_note_; }
  bool has_file(const std::string& path) const override { return sizes_.contains(path); }
  std::optional<std::string> text(const std::string& path) const override {
    return kept(path, kMaxCheckedConfigBytes);
  }
  std::optional<uint64_t> file_size(const std::string& path) const override {
    const auto found = sizes_.find(path);
    if (found == sizes_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::optional<std::string> kept(const std::string& path, uint64_t max_bytes) const {
    std::error_code error;
    if (!fs::is_regular_file(kept_ / path, error)) return std::nullopt;
    return read_text_file(kept_ / path, max_bytes);
  }

  HubModelId id_;
  fs::path kept_;
  std::map<std::string, uint64_t> sizes_;
  std::string headers_note_;
};

// Fetches the headers of the named shards, a few at a time.
class HeaderFetch {
 public:
  HeaderFetch(const SourceOptions& options, const HubModelId& id, const std::string& commit,
              const std::map<std::string, uint64_t>& sizes, const fs::path& folder)
      : options_(options), id_(id), commit_(commit), sizes_(sizes), folder_(folder) {}

  void run(const std::vector<std::string>& names) {
    std::vector<std::thread> workers;
    for (size_t i = 0; i < std::min(kParallel, names.size()); ++i) workers.emplace_back([&] { work(names); });
    for (std::thread& worker : workers) worker.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work(const std::vector<std::string>& names) noexcept {
    try {
      HubClient client(options_.settings, options_.cancelled);
      for (size_t i = next_++; i < names.size() && !failed_; i = next_++) fetch(client, names[i]);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
  }

  void fetch(HubClient& client, const std::string& name) const {
    const auto size = sizes_.find(name);
    if (size == sizes_.end())
      throw Error(ErrorCode::kNotFound,
                  id_.repo + ": the shard index lists " + name + ", which the repository does not have");
    const std::string what = id_.repo + ": " + name;
    std::string bytes = client.file_part(id_, commit_, name, 0, std::min<uint64_t>(kFirstPart, size->second));
    if (bytes.size() < 8) throw Error(ErrorCode::kCorruptFile, what + ": shorter than a safetensors header");
    const uint64_t wanted =
        safetensors_header_bytes(std::as_bytes(std::span(bytes)).first<8>(), size->second, what);
    if (wanted > kMaxHeaderBytes)
      throw Error(ErrorCode::kTooLarge, what + ": its header has " + std::to_string(wanted) + " bytes");
    if (bytes.size() < wanted)
      bytes += client.file_part(id_, commit_, name, bytes.size(), wanted - bytes.size());
    if (bytes.size() < wanted) throw Error(ErrorCode::kIo, what + ": the header arrived incomplete");
    bytes.resize(wanted);
    parse_safetensors_header(std::as_bytes(std::span(bytes)), size->second, what);  // before it is kept
    keep(folder_ / "headers" / name, bytes);
  }

  const SourceOptions& options_;
  const HubModelId& id_;
  const std::string& commit_;
  const std::map<std::string, uint64_t>& sizes_;
  const fs::path& folder_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

// Why headers of these shards are not fetched; empty: they are.
std::string fetch_headers(const SourceOptions& options, const HubModelId& id, const std::string& commit,
                          const std::map<std::string, uint64_t>& sizes, const fs::path& folder,
                          const ShardIndex* index) {
  const std::vector<std::string> names = shard_names(sizes, index);
  if (names.size() > kMaxShards)
    return std::to_string(names.size()) + " shards: their headers were not fetched";
  try {
    HeaderFetch(options, id, commit, sizes, folder).run(names);
    return {};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kIo && error.code() != ErrorCode::kTooLarge) throw;
    return std::string(error.what()) + "; sizes are estimates from config.json";
  }
}

class HubFacts {
 public:
  HubFacts(const SourceOptions& options, HubModelId id)
      : options_(options), id_(std::move(id)), root_(options.cache_root / "check" / id_.folder_name()) {}

  // The commit that the cache knows for the revision, if its facts are whole.
  std::optional<fs::path> kept() const {
    std::string commit = id_.revision;
    std::error_code error;
    if (fs::is_regular_file(root_ / "refs" / id_.revision, error))
      commit = read_text_file(root_ / "refs" / id_.revision, 64);
    if (commit.size() != 40 || commit.find_first_not_of("0123456789abcdef") != std::string::npos)
      return std::nullopt;
    fs::path folder = root_ / commit;
    if (!fs::is_regular_file(folder / kListingName, error)) return std::nullopt;
    return folder;
  }

  fs::path fetch() const {
    HubClient client(options_.settings, options_.cancelled);
    const HubRepository repository = client.repository(id_);
    fs::path folder = root_ / repository.commit;
    std::error_code ignored;
    if (!fs::is_regular_file(folder / kListingName, ignored)) fetch_files(client, repository, folder);
    keep(root_ / "refs" / id_.revision, repository.commit);
    return folder;
  }

 private:
  void fetch_files(HubClient& client, const HubRepository& repository, const fs::path& folder) const {
    std::map<std::string, uint64_t> sizes;
    for (const HubFile& file : repository.files) sizes[file.path] = file.size;
    const auto fetch = [&](const char* path, uint64_t max_bytes) -> std::optional<std::string> {
      if (!sizes.contains(path)) return std::nullopt;
      auto text = client.small_file(id_, repository.commit, path, max_bytes);
      if (text) keep(folder / path, *text);
      return text;
    };
    if (!fetch("config.json", kMaxCheckedConfigBytes))
      throw Error(ErrorCode::kNotFound, id_.repo + ": the repository has no config.json");
    std::optional<ShardIndex> index;
    if (const auto text = fetch(kIndexName, kMaxShardIndexBytes))
      index = parse_shard_index(*text, id_.repo + ": " + kIndexName);
    try {
      fetch(kLayoutName, kMaxCheckedConfigBytes);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) throw;
      if (options_.warn) options_.warn(std::string(error.what()) + "; going on without the sidecar's layout");
    }
    nlohmann::ordered_json listing;
    listing["commit"] = repository.commit;
    listing["headers_note"] =
        fetch_headers(options_, id_, repository.commit, sizes, folder, index ? &*index : nullptr);
    listing["files"] = sizes;
    keep(folder / kListingName, listing.dump(1));
  }

  const SourceOptions& options_;
  HubModelId id_;
  fs::path root_;
};

}  // namespace

std::unique_ptr<ModelSource> open_model_source(const std::string& model, const SourceOptions& options) {
  std::error_code error;
  if (!model.empty() && fs::exists(model, error))
    return local_source(ModelDirectory::resolve(model, options.hub));
  std::optional<HubModelId> id = parse_hub_model_id(model);
  if (!id) return local_source(ModelDirectory::resolve(model, options.hub));  // says what a model is
  if (!options.revision.empty()) {
    id = parse_hub_model_id(id->repo + "@" + options.revision);
    if (!id)
      throw Error(ErrorCode::kUsage, "--revision: \"" + options.revision + "\" is no branch, tag or commit");
  }
  const std::string argument = id->repo + "@" + id->revision;
  try {
    find_hub_snapshot(*id, options.hub);
    return local_source(ModelDirectory::resolve(argument, options.hub));
  } catch (const Error& absent) {
    if (absent.code() != ErrorCode::kNotFound) throw;
  }
  const HubFacts facts(options, *id);
  if (options.local_only) {
    if (const auto folder = facts.kept()) return std::make_unique<KeptSource>(*id, *folder);
    throw Error(ErrorCode::kNotFound,
                "there is no folder \"" + model + "\", and " + argument +
                    " is in no local cache; without --local-only its config.json is fetched");
  }
  try {
    return std::make_unique<KeptSource>(*id, facts.fetch());
  } catch (const Error& failure) {
    const auto folder = failure.code() == ErrorCode::kIo ? facts.kept() : std::nullopt;
    if (!folder) throw;
    if (options.warn) options.warn(std::string(failure.what()) + "; using what was fetched before");
    return std::make_unique<KeptSource>(*id, *folder);
  }
}

}  // namespace mach
