#include "text/tokenizer/tokenizer_json.h"

#include <array>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>

#include "mach/error.h"

#include "base/fd.h"
#include "io/json.h"
#include "text/tokenizer/component.h"

namespace mach {
namespace {

namespace dom = simdjson::dom;

constexpr uint64_t kMaxComponentBytes = 4 << 20;
constexpr size_t kMaxAddedTokenBytes = 4096;
constexpr size_t kShownName = 40;
constexpr const char* kWholeFile = "the file";

// What a string from the file looks like in an error.
std::string shown(std::string_view text) {
  constexpr size_t kShown = 60;
  return nlohmann::json(text.substr(0, kShown)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

class Reader {
 public:
  Reader(simdjson::padded_string json, const std::string& name) : padded_(std::move(json)) {
    result_.name = name;
  }

  TokenizerJson read() {
    try {
      read_root(parser_.parse(padded_));
      check_model();
      read_merges();
    } catch (const simdjson::simdjson_error& e) {
      fail(ErrorCode::kCorruptFile, e.what());
    }
    resolve_added_tokens();
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(ErrorCode code, std::string_view problem) const {
    throw Error(code, fmt::format("{}: {}: {}", result_.name, field_, problem));
  }

  void read_root(dom::object root) {
    for (const auto& [key, value] : root) {
      field_ = std::string(key.substr(0, kShownName));
      if (key == "model") {
        read_model(value);
      } else if (key == "added_tokens") {
        read_added_tokens(value);
      } else if (nlohmann::json* component = component_of(key)) {
        *component = small_json(value);
      }
    }
    field_ = kWholeFile;
  }

  nlohmann::json* component_of(std::string_view key) {
    if (key == "normalizer") return &result_.normalizer;
    if (key == "pre_tokenizer") return &result_.pre_tokenizer;
    if (key == "post_processor") return &result_.post_processor;
    if (key == "decoder") return &result_.decoder;
    return nullptr;
  }

  nlohmann::json small_json(dom::element value) const {
    JsonLimits limits;
    limits.max_bytes = kMaxComponentBytes;
    limits.duplicates = DuplicateKeys::kKeepLast;
    return parse_json(simdjson::minify(value), fmt::format("{}: {}", result_.name, field_), limits);
  }

  void read_model(dom::object model) {
    model_seen_ = true;
    model_ = nlohmann::json::object();
    for (const auto& [key, value] : model) {
      field_ = "model." + std::string(key.substr(0, kShownName));
      if (key == "vocab") {
        if (value.is_object()) read_vocabulary(value);  // otherwise Unigram's; the type is refused below
      } else if (key == "merges") {
        merges_ = value.get_array();
      } else {
        model_[std::string(key)] = small_json(value);
      }
    }
  }

  void read_vocabulary(dom::object vocabulary) {
    vocabulary_seen_ = true;
    result_.vocabulary.reserve(vocabulary.size(), vocabulary.size() * 8);
    for (const auto& [text, value] : vocabulary) {
      const TokenId id = checked_id(value, text);
      switch (result_.vocabulary.insert(text, id)) {
        case StringTable::Insert::kOk:
          break;
        case StringTable::Insert::kDuplicateString:
          fail(ErrorCode::kCorruptFile, fmt::format("token {} occurs twice", shown(text)));
        case StringTable::Insert::kDuplicateId:
          fail(ErrorCode::kCorruptFile, fmt::format("tokens {} and {} both have id {}",
                                                    shown(result_.vocabulary.at(id)), shown(text), id));
      }
    }
  }

  TokenId checked_id(dom::element value, std::string_view token) const {
    int64_t id = -1;
    if (value.get_int64().get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
      fail(ErrorCode::kCorruptFile,
           fmt::format("token {} has id {}, expected an integer from 0 to {}", shown(token),
                       simdjson::minify(value).substr(0, kShownName), kMaxTokenId));
    }
    return static_cast<TokenId>(id);
  }

  void check_model() {
    field_ = "model";
    if (!model_seen_) fail(ErrorCode::kCorruptFile, "the field is missing");
    const Component model(model_, result_.name + ": model");
    // Files from before the field existed are BPE if they have merges.
    if (model.string_or("type", merges_ ? "BPE" : "?") != "BPE") {
      model.fail_unsupported("type", "supported is BPE");
    }
    if (!vocabulary_seen_) fail(ErrorCode::kCorruptFile, "field 'vocab' must be an object of tokens and ids");
    if (!merges_) fail(ErrorCode::kCorruptFile, "field 'merges' is missing");
    if (model.has("dropout") && model.value()["dropout"] != 0) {
      model.fail_unsupported("dropout", "expected null or 0: an encoding must not depend on chance");
    }
    BpeOptions& options = result_.model;
    options.ignore_merges = model.boolean_or("ignore_merges", false);
    options.byte_fallback = model.boolean_or("byte_fallback", false);
    options.fuse_unk = model.boolean_or("fuse_unk", false);
    if (model.has("unk_token")) options.unk_token = model.string("unk_token");
    options.continuing_subword_prefix = model.string_or("continuing_subword_prefix", "");
    options.end_of_word_suffix = model.string_or("end_of_word_suffix", "");
  }

  void read_merges() {
    field_ = "model.merges";
    result_.merges.reserve(merges_->size());
    uint32_t rank = 0;
    for (const dom::element merge : *merges_) {
      if (merge.is_string()) {
        const std::string_view line = merge.get_string();
        if (line.starts_with("#version")) continue;
        const size_t space = line.find(' ');
        if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
          fail(ErrorCode::kCorruptFile,
               fmt::format("merge {} is {}, expected two tokens and a space", rank, shown(line)));
        }
        add_merge(line.substr(0, space), line.substr(space + 1), rank);
      } else {
        const dom::array parts = merge.get_array();
        if (parts.size() != 2) {
          fail(ErrorCode::kCorruptFile,
               fmt::format("merge {} has {} tokens, expected two", rank, parts.size()));
        }
        add_merge(parts.at(0).get_string(), parts.at(1).get_string(), rank);
      }
      ++rank;
    }
    resolve_merges(rank);
  }

  void add_merge(std::string_view left, std::string_view right, uint32_t rank) {
    const std::string& prefix = result_.model.continuing_subword_prefix;
    if (!right.starts_with(prefix)) {
      fail(ErrorCode::kCorruptFile,
           fmt::format("merge {}: {} does not begin with the continuing_subword_prefix", rank, shown(right)));
    }
    merge_parts_.push_back(left);
    merge_parts_.push_back(right);
    if (merge_parts_.size() == kMergesAtOnce * 2) resolve_merges(rank + 1);
  }

  // Looks up what add_merge() collected, the last of it of rank rank_limit - 1.
  void resolve_merges(uint32_t rank_limit) {
    const size_t count = merge_parts_.size() / 2;
    std::array<TokenId, kMergesAtOnce * 2> ids;
    result_.vocabulary.find_batch(merge_parts_, ids);
    for (size_t i = 0; i < count; ++i) result_.merges.prefetch(ids[2 * i], ids[2 * i + 1]);
    for (size_t i = 0; i < count; ++i) {
      const auto rank = rank_limit - static_cast<uint32_t>(count - i);
      for (const size_t part : {2 * i, 2 * i + 1}) {
        if (ids[part] < 0) fail_unknown_part(rank, merge_parts_[part]);
      }
      result_.merges.insert(ids[2 * i], ids[2 * i + 1],
                            {rank, merged_id(merge_parts_[2 * i], merge_parts_[2 * i + 1], rank)});
    }
    merge_parts_.clear();
  }

  [[noreturn]] void fail_unknown_part(uint32_t rank, std::string_view token) const {
    fail(ErrorCode::kCorruptFile,
         fmt::format("merge {} needs token {}, which is not in model.vocab", rank, shown(token)));
  }

  // Files list merges in the order of the ids they make, so the previous result or its successor is nearly always right.
  TokenId merged_id(std::string_view left, std::string_view right, uint32_t rank) {
    right.remove_prefix(result_.model.continuing_subword_prefix.size());
    for (const TokenId guess : {last_merged_, last_merged_ + 1}) {
      const std::string_view text = result_.vocabulary.at(guess);
      if (text.size() == left.size() + right.size() && text.starts_with(left) && text.ends_with(right) &&
          text.data() != nullptr) {
        return last_merged_ = guess;
      }
    }
    merged_.assign(left).append(right);
    const std::optional<TokenId> id = result_.vocabulary.find(merged_);
    if (!id) fail_unknown_part(rank, merged_);
    return last_merged_ = *id;
  }

  void read_added_tokens(dom::element value) {
    if (value.is_null()) return;
    for (const dom::object object : value.get_array()) {
      AddedToken token;
      std::optional<dom::element> id;
      for (const auto& [key, field] : object) {
        if (key == "id") id = field;
        if (key == "content") token.content = std::string(std::string_view(field.get_string()));
        if (bool* flag = flag_of(token, key)) *flag = field.get_bool();
      }
      if (!id) fail(ErrorCode::kCorruptFile, fmt::format("token {} has no id", shown(token.content)));
      token.id = checked_id(*id, token.content);
      if (token.content.size() > kMaxAddedTokenBytes) {
        fail(ErrorCode::kTooLarge,
             fmt::format("token {} is longer than {} bytes", token.id, kMaxAddedTokenBytes));
      }
      if (!token.content.empty())
        result_.added_tokens.push_back(std::move(token));  // nothing would match nothing
    }
  }

  static bool* flag_of(AddedToken& token, std::string_view key) {
    if (key == "single_word") return &token.single_word;
    if (key == "lstrip") return &token.lstrip;
    if (key == "rstrip") return &token.rstrip;
    if (key == "normalized") return &token.normalized;
    if (key == "special") return &token.special;
    return nullptr;
  }

  // An added token that the vocabulary has too takes the vocabulary's id, whatever the file says beside it. Otherwise its
  // own id must be free.
  void resolve_added_tokens() {
    field_ = "added_tokens";
    std::vector<AddedToken> unique;
    std::unordered_map<std::string, size_t> by_content;
    std::unordered_map<TokenId, size_t> by_id;
    for (AddedToken& token : result_.added_tokens) {
      if (const auto id = result_.vocabulary.find(token.content)) {
        token.id = *id;
      } else if (const std::string_view other = result_.vocabulary.at(token.id); other.data() != nullptr) {
        fail(ErrorCode::kCorruptFile, fmt::format("token {} has id {}, which model.vocab gives to {}",
                                                  shown(token.content), token.id, shown(other)));
      }
      const size_t same = by_content.try_emplace(token.content, unique.size()).first->second;
      if (same < unique.size() && unique[same].id != token.id) {
        fail(ErrorCode::kCorruptFile, fmt::format("token {} occurs twice, with ids {} and {}",
                                                  shown(token.content), unique[same].id, token.id));
      }
      const size_t holder = by_id.try_emplace(token.id, unique.size()).first->second;
      if (holder != same) {
        fail(ErrorCode::kCorruptFile,
             fmt::format("tokens {} and {} both have id {}", shown(unique[holder].content),
                         shown(token.content), token.id));
      }
      if (same == unique.size()) {
        unique.push_back(std::move(token));
      } else {
        unique[same] = std::move(token);  // the last word counts
      }
    }
    result_.added_tokens = std::move(unique);
  }

  simdjson::padded_string padded_;
  dom::parser parser_;
  TokenizerJson result_;
  nlohmann::json model_;
  std::string field_ = kWholeFile;  // being read, for errors
  static constexpr size_t kMergesAtOnce = StringTable::kBatch / 2;
  std::vector<std::string_view> merge_parts_;  // of up to kMergesAtOnce merges: left, right, left, right, ...
  std::string merged_;
  TokenId last_merged_ = -1;
  std::optional<dom::array> merges_;  // read when the vocabulary is known
  bool model_seen_ = false;
  bool vocabulary_seen_ = false;
};

void check_size(uint64_t bytes, const std::string& name) {
  if (bytes <= kMaxTokenizerJsonBytes) return;
  throw Error(ErrorCode::kTooLarge,
              fmt::format("{} has {} bytes; at most {} are accepted", name, bytes, kMaxTokenizerJsonBytes));
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name) {
  check_size(json.size(), name);
  return Reader(simdjson::padded_string(json), name).read();
}

TokenizerJson read_tokenizer_json(const std::filesystem::path& path) {
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t size = file_size(fd, path);
  check_size(size, path.string());
  simdjson::padded_string padded(size);
  read_exactly(fd, 0, std::as_writable_bytes(std::span(padded.data(), size)), path);
  return Reader(std::move(padded), path.string()).read();
}

}  // namespace mach
