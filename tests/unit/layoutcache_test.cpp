// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutcache.h"
#include "fulldisk.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <sched.h>

#include <filesystem>
#include <fstream>

using namespace hl;
using hl::test::ScopedEnv;
using hl::test::TemporaryDir;

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

// Another core, or one core fewer, may have another winner.
TEST_F(LayoutCacheTest, IsPerSetOfCores)
{
    cpu_set_t all;
    ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2)
        return; // one core: no other set
    LayoutCache(1, "").store({1, 2}, {});
    std::vector<std::string> paths{LayoutCache(1, "").path()};
    for (int core = 0, found = 0; core < CPU_SETSIZE && found < 2; ++core) {
        if (!CPU_ISSET(core, &all))
            continue;
        ++found;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
        EXPECT_FALSE(LayoutCache(1, "").load(candidates));
        for (const std::string &path : paths)
            EXPECT_NE(LayoutCache(1, "").path(), path);
        paths.push_back(LayoutCache(1, "").path());
    }
    ASSERT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
    EXPECT_TRUE(LayoutCache(1, "").load(candidates));
}

TEST_F(LayoutCacheTest, BrokenFilesAreIgnored)
{
    const LayoutCache cache(1, "");
    cache.store({1, 2}, {});
    const std::string name = std::filesystem::relative(cache.path(), dir.path()).string();
    for (const std::string &text :
         {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("{\"version\":2}"),
          std::string("\xff\x00\x01", 3), std::string(100000, '['), std::string(200000, ' ')}) {
        dir.write(name, text);
        EXPECT_FALSE(cache.load(candidates)) << text.substr(0, 20);
    }
    cache.store({1, 2}, {});
    // Version 1 was written on loaded machines too.
    std::ifstream in(cache.path());
    std::string old(std::istreambuf_iterator<char>(in), {});
    const size_t version = old.find("\"version\": 2");
    ASSERT_NE(version, std::string::npos);
    old[version + 11] = '1';
    dir.write(name, old);
    EXPECT_FALSE(cache.load(candidates));
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

TEST_F(LayoutCacheTest, AFullDiskLosesNothing)
{
    const LayoutCache cache(1, "");
    cache.store({1, 2}, {});
    {
        const hl::test::FullDisk full(16);
        cache.store({2, 1}, {});
    }
    EXPECT_EQ(cache.load(candidates), (ComputeLayout{1, 2})) << "the old one";
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path() / "gst-habana"), {}), 1);
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
