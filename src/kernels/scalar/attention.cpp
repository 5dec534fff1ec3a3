// Attention over a block of keys, lane by lane: what the other sets compute in tiles.
#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "kernels/scalar/lanes.h"
#include "kernels/scalar/scalar_kernels.h"

namespace mach::scalar {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct BF16Row {
  explicit BF16Row(const std::byte* row, uint32_t) noexcept : row_(row) {}
  float at(uint32_t i) const noexcept { return load_bf16(row_ + 2 * size_t{i}); }

 private:
  const std::byte* row_;
};

struct Q8Row {
  Q8Row(const std::byte* row, uint32_t dim) noexcept : row_(row), scale_(load_f32(row + dim)) {}
  float at(uint32_t i) const noexcept {
    return scale_ * static_cast<float>(static_cast<int>(static_cast<uint8_t>(row_[i])) - 128);
  }

 private:
  const std::byte* row_;
  float scale_;
};

template <class Row>
void attend_lane(const kernel::AttentionJob& job, uint32_t lane) noexcept {
  const auto* q = reinterpret_cast<const float*>(job.queries) + size_t{lane} * job.dim;
  const auto count = static_cast<int32_t>(job.count);
  const int32_t begin = job.begin != nullptr ? job.begin[lane] : 0;
  const int32_t end = job.end != nullptr && job.end[lane] < count ? job.end[lane] : count;
  float score[kernel::kAttentionKeys];
  float m = job.m[lane];
  for (int32_t key = begin; key < end; ++key) {
    const Row k(job.k + static_cast<uint64_t>(key) * job.stride, job.dim);
    Lanes sum;
    for (uint32_t i = 0; i < job.dim; ++i) sum.multiply_add(i, q[i], k.at(i));
    score[key] = sum.sum();
    m = score[key] <= m ? m : score[key];  // a NaN stays
  }
  if (m == kNothing) return;
  float* acc = job.acc + size_t{lane} * job.dim;
  const float keep = std::exp(job.m[lane] - m);
  job.l[lane] *= keep;
  for (uint32_t i = 0; i < job.dim; ++i) acc[i] *= keep;
  for (int32_t key = begin; key < end; ++key) {
    const Row v(job.v + static_cast<uint64_t>(key) * job.stride, job.dim);
    const float weight = std::exp(score[key] - m);
    job.l[lane] += weight;
    for (uint32_t i = 0; i < job.dim; ++i) acc[i] = std::fma(weight, v.at(i), acc[i]);
  }
  job.m[lane] = m;
}

}  // namespace

void pack_queries_f32(const float* const* rows, uint32_t lanes, uint32_t dim, float scale,
                      std::byte* queries) noexcept {
  auto* out = reinterpret_cast<float*>(queries);
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint32_t i = 0; i < dim; ++i) *out++ = rows[lane][i] * scale;
  }
}

void attend_bf16(const kernel::AttentionJob& job) noexcept {
  for (uint32_t lane = 0; lane < job.lanes; ++lane) attend_lane<BF16Row>(job, lane);
}

void attend_q8(const kernel::AttentionJob& job) noexcept {
  for (uint32_t lane = 0; lane < job.lanes; ++lane) attend_lane<Q8Row>(job, lane);
}

void q8_from_f32(const float* x, uint32_t n, std::byte* row) noexcept {
  float amax = 0.0F;
  bool finite = true;
  for (uint32_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    amax = std::fabs(x[i]) > amax ? std::fabs(x[i]) : amax;
  }
  const bool some = finite && amax >= 1e-30F;
  const float inverse = some ? 127.0F / amax : 0.0F;
  const float scale = finite ? (some ? amax / 127.0F : 0.0F) : std::numeric_limits<float>::quiet_NaN();
  for (uint32_t i = 0; i < n; ++i) {
    const long code = some ? std::lrint(x[i] * inverse) : 0;
    row[i] = static_cast<std::byte>(code + 128);
  }
  std::memcpy(row + n, &scale, sizeof scale);
}

}  // namespace mach::scalar
