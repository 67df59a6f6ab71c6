// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2registers.h"
#include "chip/hbm.h"
#include "chip/scramble.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

// gaudi2.c, the table above gaudi2_mmu_scramble_addr().
TEST(Scramble, MatchesTheDriversExamples)
{
    EXPECT_EQ(scramble(dram_base + 0x3000000), dram_base + 0x4000000);
    EXPECT_EQ(scramble(dram_base + 0x9C000000), dram_base + 0xD0000000);
    EXPECT_EQ(scramble(dram_base + 0x9F000000), dram_base + 0xD4000000);
}

TEST(Scramble, DescrambleUndoesIt)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 10000; ++i) {
        const uint64_t raw = dram_base + random() % (hbm_va_end - dram_base) / 2;
        const uint64_t scrambled = scramble(raw);
        EXPECT_EQ(descramble(scrambled), raw);
        EXPECT_EQ(scrambled >> 48, raw >> 48);
        EXPECT_LT(scrambled % (64 * MiB), 48 * MiB);
    }
}

TEST(Hbm, IsSparseAndZeroingGivesPagesBack)
{
    const auto hbm = Hbm::make({dram_base, dram_size});
    ASSERT_TRUE(hbm) << hbm.error();
    const auto before = (*hbm)->resident();
    std::memset((*hbm)->at(dram_base + dram_size - MiB, MiB), 0x11, MiB);
    EXPECT_GE((*hbm)->resident(), before + MiB);
    (*hbm)->fill(dram_base + dram_size - MiB, MiB, 0);
    EXPECT_LT((*hbm)->resident(), before + MiB);
    EXPECT_EQ(*(*hbm)->at(dram_base + dram_size - 1, 1), std::byte{0});
}

TEST(Hbm, ZeroingPartsOfPagesSparesTheRest)
{
    const auto hbm = Hbm::make({dram_base, dram_size});
    ASSERT_TRUE(hbm) << hbm.error();
    std::byte *const memory = (*hbm)->at(dram_base, 5 * page_size);
    std::memset(memory, 0x22, 5 * page_size);
    (*hbm)->fill(dram_base + 100, 3 * page_size, 0);
    EXPECT_EQ(memory[99], std::byte{0x22});
    for (size_t i = 100; i < 100 + 3 * page_size; ++i)
        ASSERT_EQ(memory[i], std::byte{0}) << i;
    EXPECT_EQ(memory[100 + 3 * page_size], std::byte{0x22});
}

TEST(Hbm, FillsWithAWordAndItsRest)
{
    const auto hbm = Hbm::make({dram_base, dram_size});
    ASSERT_TRUE(hbm) << hbm.error();
    (*hbm)->fill(dram_base, 7, 0x04030201);
    const std::byte *const memory = (*hbm)->at(dram_base, 8);
    EXPECT_EQ(memory[6], std::byte{3});
    EXPECT_EQ(memory[7], std::byte{0});
}

TEST(Hbm, HoldsNothingOutside)
{
    const auto hbm = Hbm::make({dram_base, dram_size});
    ASSERT_TRUE(hbm) << hbm.error();
    EXPECT_EQ((*hbm)->at(dram_base - 1, 1), nullptr);
    EXPECT_EQ((*hbm)->at(dram_base + dram_size - 1, 2), nullptr);
    EXPECT_EQ((*hbm)->at(dram_base, UINT64_MAX), nullptr);
    EXPECT_NE((*hbm)->at(dram_base + dram_size - 1, 1), nullptr);
}

} // namespace
} // namespace gaudiemu::chip
