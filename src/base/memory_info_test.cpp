#include "base/memory_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using testing::TempDir;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A machine of 16000 MiB with 12000 MiB available.
void write_machine(const TempDir& root, std::string_view groups) {
  root.write("proc/meminfo",
             "MemTotal:       16384000 kB\nMemFree:         1024000 kB\nMemAvailable:   12288000 kB\n");
  root.write("proc/self/cgroup", groups);
}

TEST(MemoryInfo, WithoutGroupsIsTheMachine) {
  const TempDir root;
  write_machine(root, "");
  const MemoryInfo info = read_memory_info(root.path());
  EXPECT_EQ(info.total, 16000 * kMiB);
  EXPECT_EQ(info.available, 12000 * kMiB);
  EXPECT_EQ(info.cgroup_limit, std::nullopt);
}

TEST(MemoryInfo, VersionTwoLimitLeavesWhatIsNotUsedPlusCache) {
  const TempDir root;
  write_machine(root, "0::/user/job\n");
  root.write("sys/fs/cgroup/user/job/memory.max", std::to_string(4000 * kMiB) + "\n");
  root.write("sys/fs/cgroup/user/job/memory.current", std::to_string(3500 * kMiB) + "\n");
  root.write("sys/fs/cgroup/user/job/memory.stat",
             "anon 5\nfile 9\ninactive_file " + std::to_string(1000 * kMiB) + "\n");
  const MemoryInfo info = read_memory_info(root.path());
  EXPECT_EQ(info.total, 4000 * kMiB);
  EXPECT_EQ(info.available, 1500 * kMiB);
  EXPECT_EQ(info.cgroup_limit, 4000 * kMiB);
}

TEST(MemoryInfo, TheTightestLevelOfTheHierarchyCounts) {
  const TempDir root;
  write_machine(root, "0::/user/job\n");
  root.write("sys/fs/cgroup/user/job/memory.max", "max\n");
  root.write("sys/fs/cgroup/user/memory.max", std::to_string(2000 * kMiB) + "\n");
  root.write("sys/fs/cgroup/user/memory.current", std::to_string(2500 * kMiB) + "\n");
  const MemoryInfo info = read_memory_info(root.path());
  EXPECT_EQ(info.cgroup_limit, 2000 * kMiB);
  EXPECT_EQ(info.available, 0U);
}

TEST(MemoryInfo, VersionOneInAContainerIsFoundAtTheMount) {
  const TempDir root;
  write_machine(root, "9:name=systemd:/\n4:cpu,memory:/docker/not-mounted-here\n0::/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(8000 * kMiB) + "\n");
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(1000 * kMiB) + "\n");
  root.write("sys/fs/cgroup/memory/memory.stat",
             "inactive_file 1\ntotal_inactive_file " + std::to_string(200 * kMiB) + "\n");
  EXPECT_EQ(read_memory_info(root.path()).available, 7200 * kMiB);
}

TEST(MemoryInfo, VersionOneWithoutALimitSaysAHugeNumber) {
  const TempDir root;
  write_machine(root, "4:memory:/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read_memory_info(root.path()).cgroup_limit, std::nullopt);
}

TEST(MemoryInfo, NamesTheFileThatIsMissing) {
  const TempDir root;
  EXPECT_MACH_ERROR(read_memory_info(root.path()), ErrorCode::kIo, ::testing::HasSubstr("proc/meminfo"));
  EXPECT_MACH_ERROR(read_process_memory(root.path()), ErrorCode::kIo,
                    ::testing::HasSubstr("proc/self/status"));
}

TEST(MemoryInfo, ThisMachineHasMemoryLeft) {
  const MemoryInfo info = read_memory_info();
  EXPECT_GT(info.available, 0U);
  EXPECT_LE(info.available, info.total);
}

TEST(ProcessMemory, SeesPagesThatWereTouched) {
  const ProcessMemory before = read_process_memory();
  AlignedBuffer buffer(64 * kMiB, 4096, PageHint::kHuge);
  for (size_t i = 0; i < buffer.size(); i += 4096) buffer.data()[i] = std::byte{1};
  const ProcessMemory after = read_process_memory();
  EXPECT_GE(after.rss, before.rss + 60 * kMiB);
  EXPECT_GE(after.rss_anon, before.rss_anon + 60 * kMiB);
  EXPECT_GE(after.peak_rss + kMiB, after.rss);
}

}  // namespace
}  // namespace mach
