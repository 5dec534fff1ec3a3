// tokenizer.json from hostile hands: what loads must encode and decode without harm, decode token by token as at once, and
// hand out whole characters only.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/tokenizer/detokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace {

constexpr std::string_view kText = "Hello wörld 12  \n\taab ab<s>é▁漢字 e\u0301 \U0001F600!";

void round_trip(const mach::Tokenizer& tokenizer, const mach::EncodeOptions& options) {
  std::vector<mach::TokenId> ids = tokenizer.encode(kText, options);
  for (mach::TokenId id = -1; id < 40; ++id) ids.push_back(id);
  mach::Detokenizer stream(tokenizer);
  std::string text;
  for (const mach::TokenId id : ids) {
    const std::string part = stream.push(id);
    if (!mach::is_valid_utf8(part)) __builtin_trap();
    text += part;
    tokenizer.token_bytes(id);
    if (const auto token = tokenizer.id_to_token(id); token && tokenizer.token_to_id(*token) != id)
      __builtin_trap();
  }
  text += stream.finish();
  if (text != tokenizer.decode(ids)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const mach::Tokenizer tokenizer =
        mach::Tokenizer::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    round_trip(tokenizer, {});
    round_trip(tokenizer, {false, false, false});
  } catch (const mach::Error&) {  // the one way to refuse
  }
  return 0;
}
