#include "quant/codec.h"

#include <algorithm>

#include "mach/error.h"

namespace mach {
namespace {

std::string_view scale_name(ScaleType type) {
  switch (type) {
    case ScaleType::kNone:
      return "no";
    case ScaleType::kF32:
      return "f32";
    case ScaleType::kF16:
      return "f16";
    case ScaleType::kBF16:
      return "bf16";
    case ScaleType::kE8M0:
      return "e8m0";
    case ScaleType::kE4M3:
      return "e4m3";
  }
  return "unknown";
}

template <class T>
bool contains(std::span<const T> list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

template <class T>
std::string join(std::span<const T> list) {
  std::string text;
  for (const T value : list) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return text;
}

[[noreturn]] void refuse(ErrorCode code, std::string_view what, const std::string& why) {
  throw Error(code, std::string(what) + ": " + why);
}

}  // namespace

const CodecRow* find_codec(std::string_view name) noexcept {
  const auto* row =
      std::find_if(kCodecs.begin(), kCodecs.end(), [&](const CodecRow& r) { return r.name == name; });
  return row == kCodecs.end() ? nullptr : row;
}

std::string format_name(const WeightFormat& format) {
  const CodecRow& row = codec_row(format.codec);
  std::string name(row.name);
  if (format.scale == ScaleType::kNone) return name;
  if (row.bits.size() > 1) name += ' ' + std::to_string(format.bits) + "-bit";
  if (row.row_blocks) {
    name += ' ' + std::to_string(format.block_rows) + 'x' + std::to_string(format.group);
  } else if (row.groups.size() > 1) {
    name += " group " + std::to_string(format.group);
  }
  if (row.scales.size() > 1) name += " (" + std::string(scale_name(format.scale)) + " scales)";
  return name;
}

void check_format(const WeightFormat& format, uint32_t cols, std::string_view what) {
  if (static_cast<size_t>(format.codec) >= kCodecs.size())
    refuse(ErrorCode::kUnsupported, what, "unknown codec");
  const CodecRow& row = codec_row(format.codec);
  const std::string name(row.name);
  if (!contains(row.bits, format.bits)) {
    refuse(ErrorCode::kUnsupported, what,
           name + " has " + join(row.bits) + " bits, not " + std::to_string(format.bits));
  }
  if (!contains(row.scales, format.scale)) {
    refuse(ErrorCode::kUnsupported, what,
           name + " does not take " + std::string(scale_name(format.scale)) + " scales");
  }
  if (!row.groups.empty() && !contains(row.groups, format.group)) {
    refuse(ErrorCode::kUnsupported, what,
           name + " has groups of " + join(row.groups) + ", not " + std::to_string(format.group));
  }
  if (!row.row_blocks && format.block_rows != 1) {
    refuse(ErrorCode::kUnsupported, what,
           name + " has a scale per row, not per " + std::to_string(format.block_rows));
  }
  if (!row.groups.empty() && cols % format.group != 0) {
    refuse(ErrorCode::kCorruptFile, what,
           std::to_string(cols) + " inputs are no multiple of the group of " + std::to_string(format.group));
  }
  if (format.codec == CodecId::kAffine && uint64_t{cols} * format.bits % 32 != 0) {
    refuse(ErrorCode::kCorruptFile, what,
           "a row of " + std::to_string(cols) + " codes does not fill 32-bit words");
  }
}

}  // namespace mach
