#include "io/hub/content_hash.h"

#include <gtest/gtest.h>

namespace mach {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(ContentHash, Sha256MatchesTheStandardsExample) {
  ContentHash hash = ContentHash::sha256();
  hash.update(bytes("a"));
  hash.update(bytes("bc"));
  EXPECT_EQ(hash.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2
}

TEST(ContentHash, GitBlobMatchesWhatGitPrints) {
  ContentHash hash = ContentHash::git_blob(6);
  hash.update(bytes("hello\n"));
  EXPECT_EQ(hash.finish(), "ce013625030ba8dba906f756967f9e9ca394464a");  // git hash-object
}

}  // namespace
}  // namespace mach
