#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fcntl.h>

#include "mach/error.h"

#include "base/byte_cursor.h"
#include "base/checked_math.h"
#include "base/fd.h"
#include "base/quoted_name.h"
#include "base/utf8.h"
#include "io/header_json.h"

namespace mach {
namespace {

// Lengths of strings other than names. Metadata is free text: notes and whole configs have been seen in it.
constexpr size_t kMaxDTypeName = 64;
constexpr size_t kMaxMetadataString = size_t{16} << 20;

[[noreturn]] void refuse(std::string_view what, std::string_view problem) {
  throw Error(ErrorCode::kCorruptFile, std::string(what) + ": " + std::string(problem));
}

[[noreturn]] void refuse_tensor(std::string_view what, const TensorInfo& tensor, std::string_view problem) {
  refuse(what, "tensor " + quoted_name(tensor.name) + ": " + std::string(problem));
}

// Reads the members of the header object into tensors (offsets still relative to the data area) and metadata.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view what, uint64_t data_bytes)
      : json_(text, what), what_(what), data_bytes_(data_bytes) {}

  void parse(std::vector<TensorInfo>& tensors, std::map<std::string, std::string>& metadata) {
    json_.expect('{', "at the start");
    if (!json_.accept('}')) {
      bool seen_metadata = false;
      do {
        std::string key(json_.string(kMaxTensorName, "as a tensor's name"));
        json_.expect(':', "after a name");
        if (key == "__metadata__") {
          if (std::exchange(seen_metadata, true)) json_.fail("a second __metadata__");
          parse_metadata(metadata);
        } else {
          if (tensors.size() == kMaxSafetensorsTensors) {
            json_.fail("more than " + std::to_string(kMaxSafetensorsTensors) + " tensors");
          }
          tensors.push_back(parse_tensor(std::move(key)));
        }
      } while (json_.accept(','));
      json_.expect('}', "or ',' after a member of the header");
    }
    json_.expect_end();
  }

 private:
  void parse_metadata(std::map<std::string, std::string>& metadata) {
    if (json_.accept_null()) return;
    if (!json_.accept('{')) json_.fail("__metadata__ is no object of strings");
    if (json_.accept('}')) return;
    do {
      std::string key(json_.string(kMaxMetadataString, "as a key of __metadata__"));
      json_.expect(':', "after a key of __metadata__");
      std::string value(json_.string(kMaxMetadataString, "as a value of __metadata__"));
      if (!metadata.emplace(std::move(key), std::move(value)).second)
        json_.fail("a key of __metadata__ comes twice");
    } while (json_.accept(','));
    json_.expect('}', "or ',' in __metadata__");
  }

  TensorInfo parse_tensor(std::string name) {
    if (const char* fault = tensor_name_fault(name)) {
      json_.fail("the tensor name " + quoted_name(name) + " " + fault);
    }
    TensorInfo tensor;
    tensor.name = std::move(name);
    json_.enter(tensor.name);
    bool has_dtype = false;
    bool has_shape = false;
    bool has_offsets = false;
    json_.expect('{', "before its keys");
    do {
      const std::string_view key = json_.string(kMaxDTypeName, "as a key");
      bool* const seen = key == "dtype"          ? &has_dtype
                         : key == "shape"        ? &has_shape
                         : key == "data_offsets" ? &has_offsets
                                                 : nullptr;
      if (seen == nullptr) json_.fail("unknown key " + quoted_name(key));
      if (std::exchange(*seen, true)) json_.fail("key " + quoted_name(key) + " comes twice");
      json_.expect(':', "after a key");
      if (seen == &has_dtype) {
        const std::string_view dtype = json_.string(kMaxDTypeName, "as dtype");
        tensor.dtype = find_dtype(dtype);
        if (tensor.dtype == DType::kUnknown) tensor.unknown_dtype = dtype;
      } else if (seen == &has_shape) {
        parse_shape(tensor);
      } else {
        parse_offsets(tensor);
      }
    } while (json_.accept(','));
    json_.expect('}', "or ',' after a value");
    if (!has_dtype || !has_shape || !has_offsets)
      json_.fail("dtype, shape and data_offsets must all be there");
    json_.leave();
    check_size(tensor);
    return tensor;
  }

  void parse_shape(TensorInfo& tensor) {
    json_.expect('[', "before the shape");
    if (json_.accept(']')) return;
    do {
      if (!tensor.shape.push_back(json_.integer("in the shape"))) {
        json_.fail("a shape of more than " + std::to_string(Shape::kMaxRank) + " dimensions");
      }
    } while (json_.accept(','));
    json_.expect(']', "or ',' in the shape");
  }

  void parse_offsets(TensorInfo& tensor) {
    json_.expect('[', "before the data_offsets");
    const uint64_t begin = json_.integer("as the first of data_offsets");
    json_.expect(',', "between the two data_offsets");
    const uint64_t end = json_.integer("as the second of data_offsets");
    json_.expect(']', "after the two data_offsets");
    if (begin > end || end > data_bytes_) {
      json_.fail("data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) +
                 "] must ascend within the " + std::to_string(data_bytes_) + " data bytes of the file");
    }
    tensor.offset = begin;
    tensor.size = end - begin;
  }

  void check_size(const TensorInfo& tensor) const {
    const auto type = [&] { return std::string(tensor.dtype_name()) + " " + to_string(tensor.shape); };
    if (!tensor.shape.elements()) refuse_tensor(what_, tensor, "the size of " + type() + " passes 2^64");
    if (tensor.dtype == DType::kUnknown) return;  // nobody can say how large it should be
    const std::optional<uint64_t> bytes = tensor_bytes(tensor.dtype, tensor.shape);
    if (!bytes) {
      refuse_tensor(what_, tensor, "the size of " + type() + " passes 2^64 or is no whole number of bytes");
    }
    if (*bytes != tensor.size) {
      refuse_tensor(what_, tensor,
                    type() + " takes " + std::to_string(*bytes) + " bytes, but data_offsets span " +
                        std::to_string(tensor.size));
    }
  }

  HeaderJson json_;
  std::string_view what_;
  uint64_t data_bytes_;
};

// With tensors in order of (begin, end), each must begin where the one before ended. A zero-byte tensor sorts before a
// tensor with bytes that begins at the same place.
void check_tiling(std::vector<TensorInfo>& tensors, uint64_t data_bytes, std::string_view what,
                  HolePolicy holes, std::vector<std::string>& warnings) {
  const auto place = [](const TensorInfo& t) { return std::pair(t.offset, t.size); };
  const auto before = [&](const TensorInfo& a, const TensorInfo& b) { return place(a) < place(b); };
  if (!std::is_sorted(tensors.begin(), tensors.end(), before))
    std::stable_sort(tensors.begin(), tensors.end(), before);
  const auto report_hole = [&](const std::string& problem) {
    if (holes == HolePolicy::kRefuse) refuse(what, problem);
    warnings.push_back(std::string(what) + ": " + problem);
  };
  uint64_t expected = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset < expected) {
      refuse_tensor(what, tensor, "overlaps tensor " + quoted_name(previous->name));
    }
    if (tensor.offset > expected) {
      report_hole("tensor " + quoted_name(tensor.name) + ": begins " +
                  std::to_string(tensor.offset - expected) + " bytes after the end of " +
                  (previous ? "tensor " + quoted_name(previous->name) : "the header") +
                  "; tensors must lie without holes");
    }
    expected = tensor.offset + tensor.size;
    previous = &tensor;
  }
  if (expected != data_bytes) {
    report_hole(std::to_string(data_bytes - expected) + " bytes after the last tensor belong to none");
  }
}

}  // namespace

std::optional<uint64_t> tensor_bytes(DType dtype, const Shape& shape) noexcept {
  const std::optional<uint64_t> elements = shape.elements();
  if (!elements) return std::nullopt;
  const std::optional<uint64_t> bits = checked_mul(*elements, dtype_row(dtype).bits);
  if (!bits || *bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

const char* tensor_name_fault(std::string_view name) noexcept {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxTensorName) return "is longer than 1024 bytes";
  if (name == "__metadata__") return "is reserved";
  while (!name.empty()) {
    if (name[0] >= 0x20 && name[0] < 0x7f) {
      name.remove_prefix(1);
      continue;
    }
    const Utf8Char next = decode_utf8(name);
    if (!next.valid) return "is not valid UTF-8";
    if (next.code_point < 0x20 || (next.code_point >= 0x7f && next.code_point < 0xa0)) {
      return "contains a control character";
    }
    name.remove_prefix(next.length);
  }
  return nullptr;
}

const TensorInfo* SafetensorsHeader::find(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

uint64_t safetensors_header_bytes(std::span<const std::byte, 8> first, uint64_t file_size,
                                  std::string_view what) {
  const auto length = ByteCursor(first, what).read<uint64_t>("header length");
  if (file_size < 8 || length < 2 || length > kMaxSafetensorsHeader || length > file_size - 8) {
    refuse(what, "header length " + std::to_string(length) + " in a file of " + std::to_string(file_size) +
                     " bytes; it must be 2 to " + std::to_string(kMaxSafetensorsHeader) +
                     " and fit the file");
  }
  return 8 + length;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> start, uint64_t file_size,
                                           std::string_view what, HolePolicy holes) {
  if (start.size() < 8 || file_size < 8)
    refuse(what, "too short for a safetensors file, which begins with 8 bytes of header length");
  const uint64_t header_bytes = safetensors_header_bytes(start.first<8>(), file_size, what);
  ByteCursor cursor(start, what);
  cursor.skip(8, "header length");
  const std::string_view text = cursor.take_text(header_bytes - 8, "header");
  if (text[0] != '{') refuse(what, "the header does not begin with '{'; this is no safetensors file");
  if (const size_t bad = find_invalid_utf8(text); bad != text.size()) {
    refuse(what, "header byte " + std::to_string(bad) + " is not valid UTF-8");
  }

  SafetensorsHeader header;
  header.data_begin_ = header_bytes;
  header.file_size_ = file_size;
  const uint64_t data_bytes = file_size - header_bytes;
  HeaderParser(text, what, data_bytes).parse(header.tensors_, header.metadata_);
  header.by_name_.reserve(header.tensors_.size());
  check_tiling(header.tensors_, data_bytes, what, holes, header.warnings_);
  for (size_t i = 0; i < header.tensors_.size(); ++i) {
    TensorInfo& tensor = header.tensors_[i];
    tensor.offset += header_bytes;
    if (!header.by_name_.emplace(tensor.name, static_cast<uint32_t>(i)).second) {
      refuse_tensor(what, tensor, "comes twice in the header");
    }
  }
  return header;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path, HolePolicy holes) {
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t size = file_size(fd, path);
  const std::string what = path.string();
  std::array<std::byte, 8> first{};
  if (size < first.size()) return parse_safetensors_header({}, size, what, holes);
  read_exactly(fd, 0, first, path);
  std::vector<std::byte> start(safetensors_header_bytes(first, size, what));
  read_exactly(fd, 0, start, path);
  return parse_safetensors_header(start, size, what, holes);
}

}  // namespace mach
