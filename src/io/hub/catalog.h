// The remote catalogue of models: GET {base}/v1/local-moe/catalog with a bearer token. Accepted answer, at most 16 MB:
//   {"models": [{"name": "org/name", "model_type": "qwen3_moe", "size": 17300000000}, ...]}   or the list alone.
// `name` is required; `model_type` (text) and `size` (bytes) may be missing or null; other keys are ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

struct CatalogSettings {
  std::string url;    // LME_CATALOG_URL: a base or the full URL; empty = no catalogue
  std::string token;  // LME_CATALOG_TOKEN; never printed
  std::chrono::seconds timeout{10};

  static CatalogSettings from_process();
};

struct CatalogModel {
  std::string name;
  std::optional<std::string> model_type;
  std::optional<uint64_t> size;
};

// Throws Error{kIo, kUnauthorized, kTooLarge, kCorruptFile}: the caller degrades to the local list.
std::vector<CatalogModel> fetch_catalog(const CatalogSettings& settings);

// `what` names the source in errors. Throws Error{kCorruptFile}.
std::vector<CatalogModel> parse_catalog(std::string_view text, std::string_view what);

}  // namespace mach
