#include "io/json.h"

#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/quoted_name.h"

namespace mach {
namespace {

// Builds a Json value from nlohmann's event parser, which is iterative, and enforces the limits as events come in.
template <class Json>
class LimitedBuilder {
 public:
  LimitedBuilder(std::string_view what, const JsonLimits& limits) : what_(what), limits_(limits) {}

  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(typename Json::number_integer_t value) { return add(value); }
  bool number_unsigned(typename Json::number_unsigned_t value) { return add(value); }
  bool number_float(typename Json::number_float_t value, const std::string& text) {
    if (!std::isfinite(value)) fail("the number " + text + " is out of range");
    return add(value);
  }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(typename Json::binary_t&) { return false; }  // does not occur in text

  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    const auto [slot, added] = slot_of(open_.back(), name);
    if (!added && limits_.duplicates == DuplicateKeys::kRefuse)
      fail("the key " + quoted_name(name) + " comes twice");
    slot_ = slot;
    return true;
  }

  [[noreturn]] bool parse_error(size_t position, const std::string&,
                                const nlohmann::detail::exception& error) {
    std::string message =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 3: ..."
    if (const size_t end = message.find("] "); end != std::string::npos) message.erase(0, end + 2);
    fail("byte " + std::to_string(position) + ": " + printable(message, 300));
  }

 private:
  struct Open {
    Json* value;
    std::unordered_map<std::string, size_t>
        places;  // of keys, in an ordered object, whose own search is linear
  };

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(limits_.error, std::string(what_) + " is no valid JSON: " + problem);
  }

  // Where the value of key `name` goes, and whether the key is new.
  std::pair<Json*, bool> slot_of(Open& object, const std::string& name) {
    auto& members = object.value->template get_ref<typename Json::object_t&>();
    if constexpr (std::is_same_v<Json, nlohmann::ordered_json>) {
      const auto [place, added] = object.places.emplace(name, members.size());
      if (added) members.emplace_back(name, Json());
      return {&(members.begin() + static_cast<std::ptrdiff_t>(place->second))->second, added};
    } else {
      const auto [place, added] = members.try_emplace(name);
      return {&place->second, added};
    }
  }

  template <class T>
  bool add(T&& value) {
    place(Json(std::forward<T>(value)));
    return true;
  }

  Json* place(Json value) {
    if (++values_ > limits_.max_values) fail("more than " + std::to_string(limits_.max_values) + " values");
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }

  bool open(Json value) {
    if (open_.size() == limits_.max_depth)
      fail("nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    open_.push_back({place(std::move(value)), {}});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view what_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Open> open_;  // containers around the current place, outermost first
  Json* slot_ = nullptr;    // value of the key just read
  size_t values_ = 0;
};

template <class Json>
Json parse(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw Error(ErrorCode::kTooLarge, std::string(what) + " has " + std::to_string(text.size()) +
                                          " bytes of JSON; at most " + std::to_string(limits.max_bytes) +
                                          " are accepted");
  }
  LimitedBuilder<Json> builder(what, limits);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view what, const JsonLimits& limits) {
  return parse<nlohmann::json>(text, what, limits);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what,
                                          const JsonLimits& limits) {
  return parse<nlohmann::ordered_json>(text, what, limits);
}

nlohmann::json read_json_file(const std::filesystem::path& path, uint64_t max_bytes) {
  JsonLimits limits;
  limits.max_bytes = max_bytes;
  return parse_json(read_text_file(path, max_bytes), path.string(), limits);
}

}  // namespace mach
