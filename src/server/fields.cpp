#include "server/fields.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach::server {
namespace {

struct TypeName {
  FieldType type;
  std::string_view name;
};

constexpr TypeName kTypeNames[] = {
    {kBoolean, "boolean"}, {kInteger, "integer"}, {kNumber, "number"},
    {kString, "string"},   {kArray, "array"},     {kObject, "object"},
};

bool has_type(const Json& value, uint8_t types) {
  switch (value.type()) {
    case Json::value_t::boolean:
      return (types & kBoolean) != 0;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return (types & (kInteger | kNumber)) != 0;
    case Json::value_t::number_float:
      return (types & kNumber) != 0;
    case Json::value_t::string:
      return (types & kString) != 0;
    case Json::value_t::array:
      return (types & kArray) != 0;
    case Json::value_t::object:
      return (types & kObject) != 0;
    default:
      return false;
  }
}

const FieldRow* find_row(const FieldTable& table, std::string_view name) {
  const auto row =
      std::find_if(table.rows.begin(), table.rows.end(), [&](const FieldRow& r) { return r.name == name; });
  return row == table.rows.end() ? nullptr : &*row;
}

}  // namespace

std::string type_names(uint8_t types) {
  std::string text;
  for (const TypeName& row : kTypeNames) {
    if ((types & row.type) == 0) continue;
    if (!text.empty()) text += " or ";
    text += row.name;
  }
  return text;
}

std::string_view handling_name(Handling handling) noexcept {
  switch (handling) {
    case Handling::kUsed:
      return "used";
    case Handling::kIgnored:
      return "ignored";
    case Handling::kRefused:
      break;
  }
  return "refused";
}

const Json& as_object(const Json& value, std::string_view path) {
  if (value.is_object()) return value;
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("{}: must be an object", path.empty() ? std::string_view("the body") : path));
}

FieldReader::FieldReader(const Json& object, const FieldTable& table, std::string path)
    : object_(as_object(object, path)), table_(table), path_(std::move(path)) {
  for (const auto& [name, value] : object_.items()) {
    const FieldRow* row = find_row(table_, name);
    if (row == nullptr) {
      unknown_.push_back(this->path(printable(name, 64)));
      continue;
    }
    if (value.is_null() || row->handling == Handling::kIgnored) continue;
    if (row->handling == Handling::kRefused) {
      if (!row->accepted.empty() && value == Json::parse(row->accepted)) continue;
      cannot(name, fmt::format("not supported: {}", row->note));
    }
    if (!has_type(value, row->types)) refuse(name, fmt::format("must be {}", type_names(row->types)));
  }
}

std::string FieldReader::path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void FieldReader::refuse(std::string_view name, const std::string& why) const {
  throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: {}", path(name), why));
}

void FieldReader::cannot(std::string_view name, const std::string& why) const {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}", path(name), why));
}

const Json* FieldReader::value(std::string_view name) const {
  const FieldRow* row = find_row(table_, name);
  if (row == nullptr || row->handling != Handling::kUsed) {
    throw Error(ErrorCode::kInternal, fmt::format("field {} is read but not in table {}", name, table_.name));
  }
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> FieldReader::boolean(std::string_view name) const {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  return found->get<bool>();
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t least, int64_t most) const {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  const bool in_range = found->is_number_unsigned()
                            ? most >= 0 && found->get<uint64_t>() <= static_cast<uint64_t>(most) &&
                                  (least <= 0 || found->get<uint64_t>() >= static_cast<uint64_t>(least))
                            : found->get<int64_t>() >= least && found->get<int64_t>() <= most;
  if (!in_range) refuse(name, fmt::format("must be from {} to {}", least, most));
  return found->get<int64_t>();
}

std::optional<double> FieldReader::number(std::string_view name, double least, double most) const {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  const auto number = found->get<double>();
  if (!(number >= least && number <= most)) refuse(name, fmt::format("must be from {} to {}", least, most));
  return number;
}

const std::string* FieldReader::text(std::string_view name) const {
  const Json* found = value(name);
  return found == nullptr ? nullptr : &found->get_ref<const std::string&>();
}

const std::string& FieldReader::required_text(std::string_view name) const {
  const std::string* found = text(name);
  if (found == nullptr) refuse(name, "is missing");
  return *found;
}

const Json& FieldReader::required(std::string_view name) const {
  const Json* found = value(name);
  if (found == nullptr) refuse(name, "is missing");
  return *found;
}

std::string_view FieldReader::choice(std::string_view name, std::span<const std::string_view> choices) const {
  const std::string* found = text(name);
  if (found == nullptr) return {};
  for (const std::string_view one : choices) {
    if (*found == one) return one;
  }
  refuse(name, fmt::format("{} is none of {}", quoted_name(*found), fmt::join(choices, ", ")));
}

}  // namespace mach::server
