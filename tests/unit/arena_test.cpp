// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/arena.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

TEST(Arena, RoundsUpAndCounts)
{
    hl::Arena arena(1 << 20);
    const auto a = arena.allocate(1);
    const auto b = arena.allocate(4097);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(*a % 4096, 0u);
    EXPECT_EQ(*b % 4096, 0u);
    EXPECT_EQ(arena.size_at(*a), 4096u);
    EXPECT_EQ(arena.size_at(*b), 8192u);
    EXPECT_EQ(arena.used(), 12288u);
    EXPECT_TRUE(arena.free(*a));
    EXPECT_TRUE(arena.free(*b));
    EXPECT_TRUE(arena.empty());
    EXPECT_EQ(arena.largest_free(), 1u << 20);
}

TEST(Arena, RefusesWhatCannotBe)
{
    hl::Arena arena(8192);
    EXPECT_FALSE(arena.allocate(0));
    EXPECT_FALSE(arena.allocate(8193));
    EXPECT_FALSE(arena.allocate(UINT64_MAX));
    const auto all = arena.allocate(8192);
    ASSERT_TRUE(all);
    EXPECT_FALSE(arena.allocate(1));
    EXPECT_FALSE(arena.free(*all + 4096));
    EXPECT_TRUE(arena.free(*all));
    EXPECT_FALSE(arena.free(*all));
    EXPECT_FALSE(hl::Arena(4095).allocate(1));
}

TEST(Arena, MergesNeighboursInEveryOrder)
{
    for (unsigned order = 0; order < 6; ++order) {
        hl::Arena arena(3 * 4096);
        std::array<uint64_t, 3> at{};
        for (auto &a : at)
            a = arena.allocate(4096).value();
        std::array<size_t, 3> turn{order / 2, 0, 0};
        turn[1] = (turn[0] + 1 + order % 2) % 3;
        turn[2] = 3 - turn[0] - turn[1];
        for (const size_t i : turn)
            EXPECT_TRUE(arena.free(at[i]));
        EXPECT_EQ(arena.largest_free(), 3u * 4096) << "order " << order;
        EXPECT_TRUE(arena.allocate(3 * 4096));
    }
}

TEST(Arena, TakesTheTightestHole)
{
    hl::Arena arena(16 * 4096);
    const auto small = arena.allocate(2 * 4096);
    const auto wall = arena.allocate(4096);
    const auto large = arena.allocate(4 * 4096);
    const auto rest = arena.allocate(9 * 4096);
    ASSERT_TRUE(small && wall && large && rest);
    ASSERT_TRUE(arena.free(*small));
    ASSERT_TRUE(arena.free(*large));
    EXPECT_EQ(arena.allocate(2 * 4096), small);
    EXPECT_EQ(arena.allocate(4 * 4096), large);
}

// Random allocations and frees against a plain model: no overlap, every byte accounted for, all comes back.
TEST(Arena, KeepsItsBooksUnderRandomUse)
{
    constexpr uint64_t size = 256 * 4096;
    hl::Arena arena(size);
    std::mt19937 random(7);
    std::map<uint64_t, uint64_t> live;
    uint64_t used = 0;
    for (int step = 0; step < 20000; ++step) {
        if (random() % 2 == 0 && !live.empty()) {
            auto victim = std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
            ASSERT_TRUE(arena.free(victim->first));
            used -= victim->second;
            live.erase(victim);
        } else {
            const uint64_t wanted = (1 + random() % 12) * 4096;
            const auto at = arena.allocate(wanted);
            if (!at) {
                ASSERT_LT(arena.largest_free(), wanted);
                continue;
            }
            const auto after = live.lower_bound(*at);
            ASSERT_TRUE(after == live.end() || *at + wanted <= after->first);
            ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second <= *at);
            ASSERT_LE(*at + wanted, size);
            live[*at] = wanted;
            used += wanted;
        }
        ASSERT_EQ(arena.used(), used);
    }
    for (const auto &[at, bytes] : live)
        ASSERT_TRUE(arena.free(at));
    EXPECT_EQ(arena.largest_free(), size);
}
