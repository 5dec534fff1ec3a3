#include "io/hub/catalog.h"

#include <algorithm>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/hub/http_client.h"
#include "io/json.h"

namespace mach {
namespace {

constexpr std::string_view kPath = "/v1/local-moe/catalog";
constexpr uint64_t kMaxBytes = 16U << 20;
constexpr size_t kMaxName = 512;

std::string full_url(std::string url) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  return url.ends_with(kPath) ? url : url + std::string(kPath);
}

}  // namespace

CatalogSettings CatalogSettings::from_process() {
  CatalogSettings settings;
  if (const char* url = std::getenv("LME_CATALOG_URL")) settings.url = url;
  if (const char* token = std::getenv("LME_CATALOG_TOKEN")) settings.token = token;
  return settings;
}

std::vector<CatalogModel> parse_catalog(std::string_view text, std::string_view what) {
  const nlohmann::json json = parse_json(text, what);
  const auto refuse = [&](size_t i, const std::string& why) {
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": models[" + std::to_string(i) + "]: " + why);
  };
  const nlohmann::json* list = &json;
  if (json.is_object()) {
    const auto found = json.find("models");
    if (found == json.end()) throw Error(ErrorCode::kCorruptFile, std::string(what) + ": no list \"models\"");
    list = &*found;
  }
  if (!list->is_array()) throw Error(ErrorCode::kCorruptFile, std::string(what) + ": models is not a list");
  std::vector<CatalogModel> out;
  for (size_t i = 0; i < list->size(); ++i) {
    const nlohmann::json& entry = (*list)[i];
    if (!entry.is_object()) refuse(i, "not an object");
    const auto name = entry.find("name");
    if (name == entry.end() || !name->is_string()) refuse(i, "name is not a string");
    CatalogModel model{.name = name->get<std::string>(), .model_type = {}, .size = {}};
    const bool plain = std::none_of(model.name.begin(), model.name.end(),
                                    [](unsigned char c) { return c < 0x20 || c == 0x7F; });
    if (model.name.empty() || model.name.size() > kMaxName || !plain)
      refuse(i, "name is empty, too long or not text");
    if (const auto type = entry.find("model_type"); type != entry.end() && !type->is_null()) {
      if (!type->is_string()) refuse(i, "model_type is not a string");
      model.model_type = type->get<std::string>();
    }
    if (const auto size = entry.find("size"); size != entry.end() && !size->is_null()) {
      if (!size->is_number_unsigned()) refuse(i, "size is not a number of bytes");
      model.size = size->get<uint64_t>();
    }
    out.push_back(std::move(model));
  }
  return out;
}

std::vector<CatalogModel> fetch_catalog(const CatalogSettings& settings) {
  HttpRequest request;
  request.url = full_url(settings.url);
  request.bearer_token = settings.token;
  request.max_body_bytes = kMaxBytes;
  request.connect_timeout = settings.timeout;
  request.total_timeout = settings.timeout;
  HttpClient client;
  const HttpResponse response = client.get(request);
  const std::string what = "catalogue " + request.url.substr(0, request.url.find('?'));
  if (response.status == 401 || response.status == 403) {
    throw Error(ErrorCode::kUnauthorized,
                what + ": access refused (" + std::to_string(response.status) + "); check LME_CATALOG_TOKEN");
  }
  if (response.status != 200) {
    throw Error(ErrorCode::kIo, what + ": answered with status " + std::to_string(response.status));
  }
  return parse_catalog(response.body, what);
}

}  // namespace mach
