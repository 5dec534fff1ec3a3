// The post-processor: which ids stand before and after an encoded text when special tokens are asked for (BOS, EOS).
#pragma once

#include <vector>

#include "mach/session.h"

#include "text/tokenizer/component.h"

namespace mach {

struct PostProcessor {
  std::vector<TokenId> before, after;

  // From TemplateProcessing (its template for a single text), ByteLevel (offsets only, no ids) and Sequence; null is
  // nothing. Ids must lie below id_limit.
  static PostProcessor parse(const Component& component, size_t id_limit);
};

}  // namespace mach
