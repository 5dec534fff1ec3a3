#include <memory>
#include <utility>

#include "base/file.h"
#include "preflight/model_source.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

class LocalSource final : public ModelSource {
 public:
  explicit LocalSource(ModelDirectory directory) : directory_(std::move(directory)) {}

  std::string name() const override {
    return directory_.hub_id() ? directory_.hub_id()->repo : directory_.path().string();
  }
  std::optional<fs::path> folder() const override { return directory_.path(); }
  std::string config_name() const override { return (directory_.path() / "config.json").string(); }
  std::string config_text() const override {
    return read_text_file(directory_.required_file("config.json"), kMaxCheckedConfigBytes);
  }
  std::optional<TensorCatalog> catalog() const override {
    if (!has_weights()) return std::nullopt;
    return read_tensor_catalog(directory_.path(), directory_.checkpoint_options());
  }
  std::string catalog_note() const override {
    return has_weights()
               ? ""
               : directory_.path().string() + " has no weights; sizes are what config.json announces";
  }
  bool has_file(const std::string& path) const override { return directory_.file(path).has_value(); }
  std::optional<std::string> text(const std::string& path) const override {
    const auto file = directory_.file(path);
    if (!file) return std::nullopt;
    return read_text_file(*file, kMaxCheckedConfigBytes);
  }
  std::optional<uint64_t> file_size(const std::string& path) const override {
    const auto file = directory_.file(path);
    std::error_code error;
    const uint64_t size = file ? fs::file_size(*file, error) : 0;
    if (!file || error) return std::nullopt;
    return size;
  }

 private:
  // Any file that a checkpoint's weights could begin with; what is missing besides is an error of the checkpoint.
  bool has_weights() const {
    std::error_code error;
    for (fs::directory_iterator entry(directory_.path(), error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (name.starts_with("model") &&
          (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")))
        return true;
    }
    return false;
  }

  ModelDirectory directory_;
};

}  // namespace

std::unique_ptr<ModelSource> local_source(ModelDirectory directory) {
  return std::make_unique<LocalSource>(std::move(directory));
}

}  // namespace mach
