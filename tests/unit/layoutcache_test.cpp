// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutcache.h"
#include "backends/onnx/layoutprobe.h"
#include "temporarydir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

using namespace hl;
using hl::test::ScopedEnv;
using hl::test::TemporaryDir;
using testing::ElementsAre;

namespace {

const std::vector<ComputeLayout> candidates{{2, 1}, {1, 2}, {1, 1}};

class LayoutCacheTest : public testing::Test {
protected:
    TemporaryDir dir;
    ScopedEnv env{"XDG_CACHE_HOME", dir.path().string()};
};

} // namespace

TEST_F(LayoutCacheTest, RemembersAcrossObjects)
{
    EXPECT_FALSE(LayoutCache(1, "").load(candidates));
    LayoutCache(1, "").store({1, 2}, {{{1, 2}, 10.0}});
    EXPECT_EQ(LayoutCache(1, "").load(candidates), (ComputeLayout{1, 2}));
    // Nothing but the file itself is left, and it lies where XDG says.
    const auto folder = dir.path() / "gst-habana";
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
    EXPECT_EQ(std::filesystem::path(LayoutCache(1, "").path()).parent_path(), folder);
}

TEST_F(LayoutCacheTest, IsPerModelAndLimits)
{
    LayoutCache(1, "a").store({1, 2}, {});
    EXPECT_FALSE(LayoutCache(2, "a").load(candidates));
    EXPECT_FALSE(LayoutCache(1, "b").load(candidates));
}

TEST_F(LayoutCacheTest, BrokenFilesAreIgnored)
{
    const LayoutCache cache(1, "");
    cache.store({1, 2}, {});
    const std::string name = std::filesystem::relative(cache.path(), dir.path()).string();
    for (const std::string &text :
         {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("{\"version\":1}"),
          std::string("\xff\x00\x01", 3), std::string(100000, '['), std::string(200000, ' ')}) {
        dir.write(name, text);
        EXPECT_FALSE(cache.load(candidates)) << text.substr(0, 20);
    }
    cache.store({1, 2}, {});
    EXPECT_TRUE(cache.load(candidates)) << "and replaced";
    EXPECT_FALSE(cache.load({{4, 1}})) << "a layout that is not on offer";
}

TEST_F(LayoutCacheTest, UnwritableIsNoError)
{
    const std::string file = dir.write("file", "x");
    const ScopedEnv inside("XDG_CACHE_HOME", file);
    const LayoutCache cache(1, "");
    cache.store({1, 2}, {});
    EXPECT_FALSE(cache.load(candidates));
}

TEST_F(LayoutCacheTest, HomeIsUsedWhereXdgSaysNothing)
{
    const ScopedEnv xdg("XDG_CACHE_HOME", "relative/is/ignored");
    const ScopedEnv home("HOME", dir.path().string());
    EXPECT_EQ(std::filesystem::path(LayoutCache(1, "").path()).parent_path(), dir.path() / ".cache" / "gst-habana");
    const ScopedEnv none("HOME", "");
    EXPECT_EQ(LayoutCache(1, "").path(), "");
    LayoutCache(1, "").store({1, 2}, {});
    EXPECT_FALSE(LayoutCache(1, "").load(candidates));
}

TEST(HashFile, SeesEveryByte)
{
    const TemporaryDir dir;
    const uint64_t a = hash_file(dir.write("a", "12345678abc")).value();
    EXPECT_EQ(a, hash_file(dir.write("b", "12345678abc")).value());
    EXPECT_NE(a, hash_file(dir.write("c", "12345678abd")).value());
    EXPECT_NE(a, hash_file(dir.write("d", "12345678ab")).value());
    EXPECT_NE(hash_file(dir.write("e", "a")).value(), hash_file(dir.write("f", std::string("a\0", 2))).value());
    const auto absent = hash_file(dir / "absent");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ErrorCode::ModelMissing);
}

TEST(CandidateLayouts, StayWithinTheLimits)
{
    EXPECT_THAT(candidate_layouts(4, 0), ElementsAre(ComputeLayout{4, 1}, ComputeLayout{1, 4}, ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(1, 0), ElementsAre(ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(4, 1), ElementsAre(ComputeLayout{1, 4}, ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(4, 2), ElementsAre(ComputeLayout{1, 4}, ComputeLayout{2, 1}, ComputeLayout{1, 1}));
    EXPECT_GE(candidate_layouts(0, 0).front().callers, 1u);
}

TEST(BestLayout, NeedsAClearWinnerToLeaveTheFirst)
{
    EXPECT_EQ(best_layout({{{2, 1}, 100}, {{1, 2}, 104}}), (ComputeLayout{2, 1}));
    EXPECT_EQ(best_layout({{{2, 1}, 100}, {{1, 2}, 110}}), (ComputeLayout{1, 2}));
    EXPECT_EQ(best_layout({{{2, 1}, 100}, {{1, 2}, 110}, {{1, 1}, 200}}), (ComputeLayout{1, 1}));
}
