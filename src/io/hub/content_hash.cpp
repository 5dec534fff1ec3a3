#include "io/hub/content_hash.h"

#include <array>
#include <utility>

#include <openssl/evp.h>

#include "mach/error.h"

namespace mach {

struct ContentHash::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  explicit Impl(const EVP_MD* kind) { check(EVP_DigestInit_ex(context, kind, nullptr)); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { EVP_MD_CTX_free(context); }

  static void check(int ok) {
    if (ok != 1) throw Error(ErrorCode::kInternal, "the hash library refused an operation");
  }
};

ContentHash::ContentHash(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ContentHash::ContentHash(ContentHash&&) noexcept = default;
ContentHash::~ContentHash() = default;

ContentHash ContentHash::sha256() { return ContentHash(std::make_unique<Impl>(EVP_sha256())); }

ContentHash ContentHash::git_blob(uint64_t size) {
  ContentHash hash(std::make_unique<Impl>(EVP_sha1()));
  const std::string header = "blob " + std::to_string(size) + '\0';
  hash.update(std::as_bytes(std::span(header)));
  return hash;
}

void ContentHash::update(std::span<const std::byte> bytes) {
  Impl::check(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()));
}

std::string ContentHash::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  Impl::check(EVP_DigestFinal_ex(impl_->context, digest.data(), &size));
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    out += "0123456789abcdef"[digest[i] >> 4];
    out += "0123456789abcdef"[digest[i] & 15];
  }
  return out;
}

}  // namespace mach
