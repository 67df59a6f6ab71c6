// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hostmemory.h"
#include "device/hostsupport.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

using testing::HasSubstr;

namespace {

bool zero(std::span<const std::byte> bytes)
{
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

off_t file_size(int fd)
{
    struct stat state{};
    return ::fstat(fd, &state) < 0 ? -1 : state.st_size;
}

} // namespace

TEST(HostMemory, IsAZeroedSealedMemfd)
{
    const auto memory = hl::HostMemory::create(3 * 4096);
    ASSERT_OK(memory);
    EXPECT_EQ(memory->span().size(), 3u * 4096);
    EXPECT_TRUE(zero(memory->span()));
    EXPECT_EQ(::fcntl(memory->memfd(), F_GET_SEALS), F_SEAL_SHRINK);
    EXPECT_EQ(file_size(memory->memfd()), 3 * 4096);
}

// Huge pages come whole or not at all; which of the two is the kernel's pool to say, read beside the test subject.
TEST(HostMemory, HugePagesComeFromTheKernelsPoolOrSayThatItIsEmpty)
{
    const hl::HugePagePool pool = hl::HostSupport::read().pool_of(hl::huge_page_bytes);
    auto memory = hl::HostMemory::create(4096, hl::HostPages::Huge);
    if (pool.free == 0) {
        ASSERT_CODE(memory, hl::ErrorCode::MemoryHost);
        EXPECT_THAT(memory.error().cause, HasSubstr("0 of "));
        EXPECT_THAT(memory.error().remedy, HasSubstr("nr_hugepages"));
        return;
    }
    ASSERT_OK(memory);
    EXPECT_EQ(memory->span().size(), 4096u);
    EXPECT_TRUE(zero(memory->span()));
    EXPECT_EQ(file_size(memory->memfd()), static_cast<off_t>(hl::huge_page_bytes));
    EXPECT_EQ(hl::HostSupport::read().pool_of(hl::huge_page_bytes).free, pool.free - 1);
    *memory = {};
    EXPECT_EQ(hl::HostSupport::read().pool_of(hl::huge_page_bytes).free, pool.free);
}

TEST(HostMemory, OnlyWholeAllocationsAreExportedWithoutUdmabuf)
{
    const auto memory = hl::HostMemory::create(2 * 4096);
    ASSERT_OK(memory);
    const hl::UniqueFd none;
    const auto whole = memory->export_fd(none, 0, 2 * 4096);
    ASSERT_OK(whole);
    EXPECT_EQ(file_size(whole->get()), 2 * 4096);
    EXPECT_CODE(memory->export_fd(none, 4096, 4096), hl::ErrorCode::MemoryRange);
}

TEST(HostSupport, ReadsWhatIsThere)
{
    const hl::test::TemporaryDir root;
    for (const char *directory :
         {"dev/dma_heap", "sys/module/udmabuf/parameters", "sys/kernel/mm/hugepages/hugepages-2048kB",
          "sys/kernel/mm/hugepages/hugepages-1048576kB", "sys/kernel/mm/hugepages/other"})
        std::filesystem::create_directories(root.path() / directory);
    root.write("dev/udmabuf", "");
    root.write("dev/dma_heap/system", "");
    root.write("dev/dma_heap/default_cma_region", "");
    root.write("sys/module/udmabuf/parameters/size_limit_mb", "64\n");
    root.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "40\n");
    root.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "12\n");
    root.write("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "2\n");

    const auto support = hl::HostSupport::read(root.path());
    EXPECT_THAT(support.kernel, HasSubstr("Linux "));
    EXPECT_TRUE(support.udmabuf.usable());
    EXPECT_EQ(support.udmabuf_limit, uint64_t{64} << 20);
    ASSERT_EQ(support.heaps.size(), 2u);
    EXPECT_EQ(support.heaps[0].path, root / "dev/dma_heap/default_cma_region");
    ASSERT_EQ(support.huge_pages.size(), 2u);
    EXPECT_EQ(support.pool_of(hl::huge_page_bytes).total, 40u);
    EXPECT_EQ(support.pool_of(hl::huge_page_bytes).free, 10u);
    EXPECT_EQ(support.pool_of(uint64_t{1} << 30).total, 0u);
    EXPECT_EQ(support.pool_of(4096).page_bytes, 4096u);
}

TEST(HostSupport, SaysWhyANodeCannotBeUsed)
{
    const hl::test::TemporaryDir root;
    const auto bare = hl::HostSupport::read(root.path());
    EXPECT_EQ(bare.udmabuf.open_errno, ENOENT);
    EXPECT_EQ(bare.udmabuf.cause, "there is no /dev/udmabuf");
    EXPECT_THAT(bare.udmabuf.remedy, HasSubstr("modprobe udmabuf"));
    EXPECT_EQ(bare.udmabuf_limit, std::nullopt);
    EXPECT_TRUE(bare.heaps.empty());
    EXPECT_TRUE(bare.huge_pages.empty());
    std::filesystem::create_directories(root.path() /
                                        "dev/udmabuf"); // opened for writing, a directory is refused, to root too
    EXPECT_EQ(hl::HostSupport::read(root.path()).udmabuf.open_errno, EISDIR);
}
