#include "experts/sidecar_writer.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>

#include <xxhash.h>

#include "mach/error.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxProgressBytes = uint64_t{64} << 20;

[[noreturn]] void misuse(const std::string& what) {
  throw Error(ErrorCode::kInternal, "sidecar writer: " + what);
}

// The process that writes an unfinished file (AtomicFile), ".layer_03.bin.<pid>.<n>"; 0 for other names.
int writer_of(const std::string& name) {
  const size_t count = name.rfind('.');
  if (!name.starts_with('.') || count == 0 || count == std::string::npos) return 0;
  const size_t pid = name.rfind('.', count - 1);
  const auto number = [&](size_t from, size_t to) {
    int value = -1;
    const auto [end, error] = std::from_chars(name.data() + from, name.data() + to, value);
    return error == std::errc() && end == name.data() + to ? value : -1;
  };
  if (pid == 0 || pid == std::string::npos || number(count + 1, name.size()) < 0) return 0;
  return std::max(0, number(pid + 1, count));
}

}  // namespace

uint64_t record_checksum(std::span<const std::byte> record) noexcept {
  return XXH3_64bits(record.data(), record.size());
}

SidecarWriter::SidecarWriter(const fs::path& checkpoint, const std::string& model_type, bool resume)
    : folder_(checkpoint / kSidecarFolder) {
  layout_.model_type = model_type;
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw Error(ErrorCode::kIo, "cannot make folder " + folder_.string() + ": " + error.message());
  // An older layout.json would vouch for files that are about to change.
  fs::remove(folder_ / kSidecarLayoutFile, error);
  if (error) {
    throw Error(ErrorCode::kIo,
                "cannot remove " + (folder_ / kSidecarLayoutFile).string() + ": " + error.message());
  }
  remove_stale_files();
  if (resume) take_over();
}

// Unfinished files of writers that were killed.
void SidecarWriter::remove_stale_files() const {
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const int pid = writer_of(name);
    std::error_code ignored;
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) fs::remove(it->path(), ignored);
  }
}

fs::path SidecarWriter::progress_path() const { return folder_ / ".layout.partial.json"; }

// The note is only as good as the files: a layer counts if its file still has its size.
void SidecarWriter::take_over() {
  std::error_code ignored;
  if (!fs::exists(progress_path(), ignored)) return;
  SidecarLayout before;
  try {
    before =
        parse_sidecar_layout(read_text_file(progress_path(), kMaxProgressBytes), progress_path().string());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIo) throw;
    return;  // of another version, say: the layers are written again
  }
  if (before.model_type != layout_.model_type) return;
  for (SidecarLayer& layer : before.layers) {
    std::error_code error;
    const uint64_t size = fs::file_size(folder_ / sidecar_layer_file(layer.layer), error);
    if (!error && size == layer.file_size()) layout_.layers.push_back(std::move(layer));
  }
}

bool SidecarWriter::has_layer(const ExpertLayerSpec& spec) const noexcept {
  const SidecarLayer* layer = layout_.find(spec.layer);
  return layer != nullptr && layer->experts == spec.experts && layer->record == spec.record;
}

void SidecarWriter::begin_layer(const ExpertLayerSpec& spec) {
  if (file_) misuse("layer " + std::to_string(current_.layer) + " is not ended");
  current_ = {.layer = spec.layer, .experts = spec.experts, .record = spec.record, .checksums = {}};
  file_.emplace(folder_ / sidecar_layer_file(spec.layer));
  if (staging_.size() < spec.record.size) staging_ = AlignedBuffer(spec.record.size, kDirectIoAlignment);
}

void SidecarWriter::append(std::span<const std::byte> record) {
  if (!file_ || current_.checksums.size() >= current_.experts) misuse("no record is expected");
  if (record.size() != current_.record.size) misuse("the record has the wrong size");
  current_.checksums.push_back(record_checksum(record));
  file_->write(record);
}

void SidecarWriter::append(const ExpertView& expert) {
  if (!file_) misuse("no record is expected");
  const auto record = staging_.bytes().first(current_.record.size);
  fill_record(current_.record, expert, record);
  append(std::span<const std::byte>(record));
}

void SidecarWriter::end_layer() {
  if (!file_ || current_.checksums.size() != current_.experts) misuse("records are missing");
  file_->commit();
  file_.reset();
  insert(std::move(current_));
  write_file_atomically(progress_path(), sidecar_layout_text(layout_));
}

void SidecarWriter::insert(SidecarLayer layer) {
  const auto place =
      std::lower_bound(layout_.layers.begin(), layout_.layers.end(), layer.layer,
                       [](const SidecarLayer& entry, uint32_t wanted) { return entry.layer < wanted; });
  if (place != layout_.layers.end() && place->layer == layer.layer) {
    *place = std::move(layer);
  } else {
    layout_.layers.insert(place, std::move(layer));
  }
}

void SidecarWriter::finish() {
  if (file_) misuse("layer " + std::to_string(current_.layer) + " is not ended");
  write_file_atomically(folder_ / kSidecarLayoutFile, sidecar_layout_text(layout_));
  std::error_code ignored;
  fs::remove(progress_path(), ignored);
}

}  // namespace mach
