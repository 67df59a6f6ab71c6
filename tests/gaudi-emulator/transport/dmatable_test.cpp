// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/dmatable.h"

#include "transport/testclient.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace gaudiemu::test {
namespace {

using Found = DmaTable::Found;

constexpr uint64_t page = 4096;

hl::UniqueFd copy_of(const hl::UniqueFd &fd)
{
    return hl::UniqueFd(::dup(fd.get()));
}

size_t open_files()
{
    const std::filesystem::directory_iterator entries("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

size_t mapped_files()
{
    std::ifstream maps("/proc/self/maps");
    size_t count = 0;
    for (std::string line; std::getline(maps, line);)
        count += line.find("gaudiemu-test") != std::string::npos ? 1 : 0;
    return count;
}

// Behind a virtual IOMMU each page is a mapping of its own.
TEST(DmaTableTest, MapsAFileOnceHoweverOftenItComes)
{
    constexpr uint64_t pages = 3000;
    const auto ram = memory_file(pages * page);
    const auto before = open_files();
    DmaTable table;
    for (uint64_t i = 0; i < pages; ++i)
        ASSERT_TRUE(table.map(i * 2 * page, page, true, copy_of(ram), i * page));
    EXPECT_EQ(open_files(), before);
    EXPECT_EQ(mapped_files(), 1U);
    EXPECT_EQ(table.mappings(), pages);
    EXPECT_EQ(table.files(), 1U);

    Bytes data(8, std::byte{0x5A});
    EXPECT_EQ(table.write(2998 * 2 * page + 16, data).found, Found::Moved);
    const Mapped memory(ram.get(), pages * page);
    EXPECT_EQ(memory.span()[2998 * page + 16], std::byte{0x5A});

    ASSERT_TRUE(table.unmap(0, pages * 2 * page));
    EXPECT_EQ(table.mappings(), 0U);
    EXPECT_EQ(table.files(), 0U);
    EXPECT_EQ(mapped_files(), 1U); // the test's own
}

TEST(DmaTableTest, AnswersAsFarAsOneAnswerHolds)
{
    const auto ram = memory_file(8 * page);
    DmaTable table;
    ASSERT_TRUE(table.map(4 * page, page, true, copy_of(ram), 0));
    ASSERT_TRUE(table.map(5 * page, page, false, copy_of(ram), page));
    ASSERT_TRUE(table.map(6 * page, page, true, {}, 0));
    Bytes data(10 * page);
    const auto is = [](DmaTable::Piece piece, Found found, size_t size) {
        return piece.found == found && piece.size == size;
    };
    EXPECT_TRUE(is(table.read(0, data), Found::Elsewhere, 4 * page));
    EXPECT_TRUE(is(table.write(4 * page + 8, data), Found::Moved, page - 8));
    EXPECT_TRUE(is(table.write(5 * page, data), Found::ReadOnly, page));
    EXPECT_TRUE(is(table.read(5 * page, data), Found::Moved, page));
    EXPECT_TRUE(is(table.read(6 * page, data), Found::Elsewhere, page));
    EXPECT_TRUE(is(table.read(7 * page, data), Found::Elsewhere, data.size()));
}

TEST(DmaTableTest, MovesNoMoreThanAChunkAtOnce)
{
    const auto ram = memory_file(4 * DmaTable::chunk);
    DmaTable table;
    ASSERT_TRUE(table.map(0, 4 * DmaTable::chunk, true, copy_of(ram), 0));
    Bytes data(3 * DmaTable::chunk);
    EXPECT_EQ(table.read(page, data).size, DmaTable::chunk);
}

TEST(DmaTableTest, SeveralFiles)
{
    const auto low = memory_file(page);
    const auto high = memory_file(page);
    DmaTable table;
    ASSERT_TRUE(table.map(0, page, true, copy_of(low), 0));
    ASSERT_TRUE(table.map(1ULL << 32, page, true, copy_of(high), 0));
    EXPECT_EQ(table.files(), 2U);
    EXPECT_EQ(table.write(1ULL << 32, Bytes(1, std::byte{7})).found, Found::Moved);
    EXPECT_EQ(Mapped(low.get(), page).span()[0], std::byte{0});
    EXPECT_EQ(Mapped(high.get(), page).span()[0], std::byte{7});
    ASSERT_TRUE(table.unmap(0, page));
    EXPECT_EQ(table.files(), 1U);
}

TEST(DmaTableTest, AFileThatGrewIsMappedAnew)
{
    const auto ram = memory_file(page);
    DmaTable table;
    ASSERT_TRUE(table.map(0, page, true, copy_of(ram), 0));
    EXPECT_EQ(table.map(page, page, true, copy_of(ram), page).error(), EINVAL);
    ASSERT_EQ(::ftruncate(ram.get(), 2 * page), 0);
    ASSERT_TRUE(table.map(page, page, true, copy_of(ram), page));
    EXPECT_EQ(table.write(page, Bytes(1, std::byte{9})).found, Found::Moved);
    EXPECT_EQ(table.write(0, Bytes(1, std::byte{8})).found, Found::Moved);
    const Mapped memory(ram.get(), 2 * page);
    EXPECT_EQ(memory.span()[0], std::byte{8});
    EXPECT_EQ(memory.span()[page], std::byte{9});
}

TEST(DmaTableTest, IsFullAtItsLimit)
{
    DmaTable table;
    for (uint64_t i = 0; i < vfio::max_dma_maps; ++i)
        ASSERT_TRUE(table.map(i * page, page, true, {}, 0));
    EXPECT_EQ(table.map(1ULL << 40, page, true, {}, 0).error(), ENOSPC);
}

// Workers that never cease to move bytes do not keep the guest from changing its mappings.
TEST(DmaTableTest, WorkersDoNotStarveTheTable)
{
    const auto ram = memory_file(2 * page);
    DmaTable table;
    ASSERT_TRUE(table.map(0, page, true, copy_of(ram), 0));
    std::atomic<bool> ending = false;
    std::vector<std::jthread> workers;
    for (int i = 0; i < 4; ++i)
        workers.emplace_back([&] {
            Bytes data(page);
            while (!ending)
                (void)table.read(0, data);
        });
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(table.map(page, page, true, copy_of(ram), page));
        ASSERT_TRUE(table.unmap(page, page));
    }
    ending = true;
}

} // namespace
} // namespace gaudiemu::test
