#include "text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>
#include <utility>

#include <fmt/format.h>
#include <pcre2.h>

#include "mach/error.h"

#include "text/tokenizer/oniguruma_pattern.h"

namespace mach {
namespace {

// Steps of one search. A pre-tokeniser needs one to a few per byte, so this admits pieces of several megabytes, and a
// pattern that explodes ends within about a second.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackLimit = 4 * 1024 * 1024;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContextPtr = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContextPtr = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchDataPtr = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using JitStackPtr = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct RegexScratch::Impl {
  MatchDataPtr data{pcre2_match_data_create(1, nullptr)};  // only the whole match is asked for
  MatchContextPtr context{pcre2_match_context_create(nullptr)};
  JitStackPtr jit_stack{pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr)};
};

RegexScratch::RegexScratch() : impl_(std::make_unique<Impl>()) {
  if (!impl_->data || !impl_->context || !impl_->jit_stack)
    throw Error(ErrorCode::kOutOfBudget, "no memory for PCRE2");
  pcre2_set_match_limit(impl_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKib);
  pcre2_jit_stack_assign(impl_->context.get(), nullptr, impl_->jit_stack.get());
}
RegexScratch::~RegexScratch() = default;

struct Regex::Code {
  CodePtr code;
  bool jit = false;  // refused where memory may not be both writable and executable
};

Regex::Regex(std::string_view oniguruma_pattern, std::string where)
    : code_(std::make_unique<Code>()), where_(std::move(where)) {
  const std::string pattern = translate_oniguruma(oniguruma_pattern, where_);
  const CompileContextPtr context(pcre2_compile_context_create(nullptr));
  if (!context) throw Error(ErrorCode::kOutOfBudget, "no memory for PCRE2");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  constexpr uint32_t kOptions =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C;
  code_->code.reset(pcre2_compile(units(pattern), pattern.size(), kOptions, &error, &offset, context.get()));
  if (!code_->code) {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: the regex '{}' is not usable: {}", where_,
                                                     oniguruma_pattern.substr(0, 200), message_of(error)));
  }
  code_->jit = pcre2_jit_compile(code_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::optional<RegexMatch> Regex::search(std::string_view text, size_t from, RegexScratch& scratch) const {
  pcre2_match_data* data = scratch.impl_->data.get();
  pcre2_match_context* context = scratch.impl_->context.get();
  const auto match = code_->jit ? pcre2_jit_match : pcre2_match;
  const int rc = match(code_->code.get(), units(text), text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("{}: the regex gives up on {} bytes of text after byte {}: {}", where_,
                            text.size(), from, message_of(rc)));
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
  return RegexMatch{range[0], range[1]};
}

}  // namespace mach
