#include "text/tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/detokenizer.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/tokenizer_json.h"

namespace mach {
namespace {

constexpr size_t kMaxTextBytes = INT32_MAX;

// Everything that one running encoding writes to.
struct Scratch {
  Normalizer::Buffers normalized;
  PreTokenizer::Scratch pieces;
  BpeModel::Scratch bpe;
};

// Scratches for reuse. Thread-safe.
class ScratchPool {
 public:
  std::unique_ptr<Scratch> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Scratch> scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
    }
    return std::make_unique<Scratch>();
  }
  void give_back(std::unique_ptr<Scratch> scratch) noexcept {
    constexpr size_t kLongWord = 1 << 16;  // what a huge text made grow is not kept
    if (scratch->bpe.symbols.capacity() > kLongWord || scratch->normalized.text.capacity() > kLongWord)
      return;
    const std::lock_guard lock(mutex_);
    if (free_.size() < free_.capacity()) free_.push_back(std::move(scratch));
  }

 private:
  static constexpr size_t kMostKept = 8;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_ = [] {
    std::vector<std::unique_ptr<Scratch>> empty;
    empty.reserve(kMostKept);  // give_back never allocates
    return empty;
  }();
};

class ScratchLease {
 public:
  explicit ScratchLease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  ~ScratchLease() { pool_.give_back(std::move(scratch_)); }
  Scratch& operator*() const noexcept { return *scratch_; }

 private:
  ScratchPool& pool_;
  std::unique_ptr<Scratch> scratch_;
};

BpeOptions with_byte_level(BpeOptions options, bool byte_level) {
  options.byte_level = byte_level;
  return options;
}

// With both kinds of added tokens: specials fall under parse_special, the others under parse_added.
AddedTokenFilter filter_of(EncodeOptions options) {
  if (!options.parse_special)
    return options.parse_added ? AddedTokenFilter::kNotSpecial : AddedTokenFilter::kNone;
  return options.parse_added ? AddedTokenFilter::kAll : AddedTokenFilter::kSpecial;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerJson json);

  std::string_view spelling(TokenId id) const noexcept;
  void encode_text(std::string_view text, bool at_text_start, AddedTokenFilter filter, Scratch& scratch,
                   std::vector<TokenId>& out) const;

  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  BpeModel model;
  Decoder decoder;
  std::vector<AddedToken> added_tokens;
  std::vector<std::string> normalized_contents;             // by index of added_tokens, where it differs
  std::unordered_map<std::string_view, TokenId> added_ids;  // by content, which lies in added_tokens
  std::vector<int32_t> added_index;                         // by id; -1: not an added token
  AddedTokenMatcher raw_matcher, normalized_matcher;
  PostProcessor post_processor;
  std::string bytes;                   // of all tokens, in order of their id
  std::vector<uint32_t> byte_offsets;  // [vocab_size + 1]
  mutable ScratchPool scratches;

 private:
  void index_added_tokens();
  void index_bytes();
};

Tokenizer::Impl::Impl(TokenizerJson json)
    : normalizer(Component(json.normalizer, json.name + ": normalizer")),
      pre_tokenizer(Component(json.pre_tokenizer, json.name + ": pre_tokenizer")),
      model(std::move(json.vocabulary), std::move(json.merges),
            with_byte_level(json.model, pre_tokenizer.byte_level()), json.name + ": model"),
      decoder(Component(json.decoder, json.name + ": decoder")),
      added_tokens(std::move(json.added_tokens)) {
  index_added_tokens();
  post_processor = PostProcessor::parse(Component(json.post_processor, json.name + ": post_processor"),
                                        added_index.size());
  index_bytes();
}

void Tokenizer::Impl::index_added_tokens() {
  size_t limit = model.vocabulary().id_limit();
  for (const AddedToken& token : added_tokens) limit = std::max(limit, static_cast<size_t>(token.id) + 1);
  added_index.assign(limit, -1);
  normalized_contents.resize(added_tokens.size());
  std::vector<AddedTokenMatcher::Pattern> raw;
  std::vector<AddedTokenMatcher::Pattern> normalized;
  Normalizer::Buffers buffers;
  RegexScratch regex;
  for (size_t i = 0; i < added_tokens.size(); ++i) {
    const AddedToken& token = added_tokens[i];
    added_index[static_cast<size_t>(token.id)] = static_cast<int32_t>(i);
    added_ids.emplace(token.content, token.id);
    if (!token.normalized) {
      raw.push_back({token.content, &token});
      continue;
    }
    const std::string_view content = normalizer.apply(token.content, buffers, regex);
    if (content != token.content) normalized_contents[i] = content;
    if (!content.empty()) normalized.push_back({std::string(content), &token});
  }
  raw_matcher = AddedTokenMatcher(std::move(raw));
  normalized_matcher = AddedTokenMatcher(std::move(normalized));
}

void Tokenizer::Impl::index_bytes() {
  Decoder::Buffers buffers;
  byte_offsets.reserve(added_index.size() + 1);
  for (size_t id = 0; id < added_index.size(); ++id) {
    byte_offsets.push_back(static_cast<uint32_t>(bytes.size()));
    const std::string_view token = spelling(static_cast<TokenId>(id));
    if (token.data() != nullptr) decoder.append_token_bytes(token, buffers, bytes);
  }
  byte_offsets.push_back(static_cast<uint32_t>(bytes.size()));
}

std::string_view Tokenizer::Impl::spelling(TokenId id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= added_index.size()) return {};
  const int32_t index = added_index[static_cast<size_t>(id)];
  if (index < 0) return model.vocabulary().at(id);
  const std::string& normalized = normalized_contents[static_cast<size_t>(index)];
  return normalized.empty() ? std::string_view(added_tokens[static_cast<size_t>(index)].content) : normalized;
}

// A stretch of the raw text without raw added tokens.
void Tokenizer::Impl::encode_text(std::string_view text, bool at_text_start, AddedTokenFilter filter,
                                  Scratch& scratch, std::vector<TokenId>& out) const {
  const std::string_view normalized = normalizer.apply(text, scratch.normalized, scratch.pieces.regex);
  normalized_matcher.split(
      normalized, filter,
      [&](std::string_view part) {
        pre_tokenizer.split(part, at_text_start && part.data() == normalized.data(), scratch.pieces,
                            [&](std::string_view piece) { model.encode(piece, scratch.bpe, out); });
      },
      [&](const AddedToken& token) { out.push_back(token.id); });
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::filesystem::path& tokenizer_json) {
  return Tokenizer(std::make_unique<const Impl>(read_tokenizer_json(tokenizer_json)));
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name) {
  return Tokenizer(std::make_unique<const Impl>(parse_tokenizer_json(json, name)));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes)
    throw Error(ErrorCode::kTooLarge, "a text of 2 GiB or more cannot be encoded");
  const size_t bad = find_invalid_utf8(text);
  if (bad < text.size()) {
    throw Error(ErrorCode::kInvalidRequest, fmt::format("the text is not UTF-8 at byte {}", bad));
  }
  const ScratchLease lease(impl_->scratches);
  const AddedTokenFilter filter = filter_of(options);
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 16);
  if (options.add_special_tokens) ids = impl_->post_processor.before;
  impl_->raw_matcher.split(
      text, filter,
      [&](std::string_view part) {
        impl_->encode_text(part, part.data() == text.data(), filter, *lease, ids);
      },
      [&](const AddedToken& token) { ids.push_back(token.id); });
  if (options.add_special_tokens) {
    ids.insert(ids.end(), impl_->post_processor.after.begin(), impl_->post_processor.after.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, DecodeOptions options) const {
  Detokenizer stream(*this, options);
  std::string text;
  for (const TokenId id : ids) stream.push_to(id, text);
  return text + stream.finish();
}

size_t Tokenizer::vocab_size() const noexcept { return impl_->added_index.size(); }

std::optional<TokenId> Tokenizer::token_to_id(std::string_view token) const {
  const auto it = impl_->added_ids.find(token);
  return it != impl_->added_ids.end() ? it->second : impl_->model.vocabulary().find(token);
}

std::optional<std::string_view> Tokenizer::id_to_token(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size()) return std::nullopt;
  const int32_t index = impl_->added_index[static_cast<size_t>(id)];
  if (index >= 0) return impl_->added_tokens[static_cast<size_t>(index)].content;
  const std::string_view token = impl_->model.vocabulary().at(id);
  return token.data() == nullptr ? std::nullopt : std::optional(token);
}

std::string_view Tokenizer::token_bytes(TokenId id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size()) return {};
  const auto index = static_cast<size_t>(id);
  const uint32_t begin = impl_->byte_offsets[index];
  return std::string_view(impl_->bytes).substr(begin, impl_->byte_offsets[index + 1] - begin);
}

bool Tokenizer::is_special(TokenId id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size()) return false;
  const int32_t index = impl_->added_index[static_cast<size_t>(id)];
  return index >= 0 && impl_->added_tokens[static_cast<size_t>(index)].special;
}

std::span<const AddedToken> Tokenizer::added_tokens() const noexcept { return impl_->added_tokens; }

std::string_view Tokenizer::decoder_input(TokenId id) const noexcept { return impl_->spelling(id); }
const Decoder& Tokenizer::decoder() const noexcept { return impl_->decoder; }

}  // namespace mach
