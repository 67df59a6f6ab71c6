// SPDX-License-Identifier: LGPL-2.1-or-later

// SynapseAI libraries that are refused, each with its own error, and before anything of theirs was called but the
// question for their release (the wrong ones abort on the rest).
#include "backends/synapse/library.h"
#include "backends/synapse/session.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

using hl::ErrorCode;
using hl::synapse::Library;
using hl::synapse::Release;
using hl::test::Setting;

namespace {

std::string wrong_library(const char *name)
{
    return std::string(std::getenv("HL_TEST_SYNAPSE_LIBRARIES")) + "/" + name;
}

hl::Error error_with(const std::string &folder)
{
    const Setting where("HL_SYNAPSE_DIR", folder.c_str());
    const auto library = Library::load();
    if (library)
        ADD_FAILURE() << library->path() << " was loaded";
    return library ? hl::Error{} : library.error();
}

bool says(const hl::Error &error, std::string_view text)
{
    return error.cause.contains(text);
}

} // namespace

TEST(Release, IsTheFirstPairOfNumbers)
{
    for (const auto &[text, major, minor] : {std::tuple{"1.19.0-abc", 1u, 19u},
                                             {"SynapseAI 1.21 (HL-2.0)", 1, 21},
                                             {"hl-1.18.", 1, 18},
                                             {"7 of 1.20", 1, 20},
                                             {"12.3", 12, 3}}) {
        const auto release = Release::parse(text);
        ASSERT_TRUE(release) << text;
        EXPECT_EQ(*release, (Release{major, minor})) << text;
    }
    for (const char *text : {"", "1", "1.", ".5", "one.two", "1 .2", "99999999999.1"})
        EXPECT_FALSE(Release::parse(text)) << text;
    EXPECT_LT((Release{1, 9}), (Release{1, 18}));
}

TEST(SynapseLibrary, MissingIsToldWithAllPlaces)
{
    const hl::test::TemporaryDir empty;
    const hl::Error error = error_with(empty.path());
    EXPECT_EQ(error.code, ErrorCode::SynapseMissing);
    EXPECT_EQ(error.sys_errno, ENOENT);
    EXPECT_TRUE(says(error, empty / "libSynapse.so")) << error.cause;
    EXPECT_TRUE(says(error, "the dynamic linker knows no libSynapse.so")) << error.cause;
    EXPECT_TRUE(says(error, "/usr/lib/habanalabs/libSynapse.so")) << error.cause;
    EXPECT_TRUE(error.remedy.contains("HL_SYNAPSE_DIR"));
}

// One that is there and broken is not passed over for another.
TEST(SynapseLibrary, GarbageIsToldAsTheLinkerTellsIt)
{
    const hl::test::TemporaryDir folder;
    (void)folder.write("libSynapse.so", "this is no library");
    const hl::Error error = error_with(folder.path());
    EXPECT_EQ(error.code, ErrorCode::SynapseMissing);
    EXPECT_EQ(error.sys_errno, ELIBBAD);
    EXPECT_TRUE(says(error, "libSynapse.so: ")) << error.cause;
    EXPECT_FALSE(says(error, "/usr/lib/habanalabs")) << error.cause;
}

// As some of the vendor's images have it.
TEST(SynapseLibrary, TheOtherNameIsTakenToo)
{
    const hl::test::TemporaryDir folder;
    const std::string path = folder.write("libSynapse.so.1", "this is no library");
    const hl::Error error = error_with(folder.path());
    EXPECT_EQ(error.sys_errno, ELIBBAD);
    EXPECT_TRUE(says(error, path + ": ")) << error.cause;
}

TEST(SynapseLibrary, EachMissingFunctionIsNamed)
{
    const hl::Error error = error_with(wrong_library("incomplete"));
    EXPECT_EQ(error.code, ErrorCode::SynapseAbi);
#define HL_X(symbol, arguments)                                                                                        \
    EXPECT_EQ(says(error, #symbol ","), std::string_view(#symbol) != "synInitialize" &&                                \
                                            std::string_view(#symbol) != "synStatusGetBriefDescription")               \
        << #symbol;
    HL_SYNAPSE_CALLS(HL_X)
#undef HL_X
    EXPECT_TRUE(error.cause.ends_with("synStatusGetBriefDescription")) << error.cause;
}

TEST(SynapseLibrary, OneThatTellsNoReleaseIsRefused)
{
    const hl::Error wordless = error_with(wrong_library("wordless"));
    EXPECT_EQ(wordless.code, ErrorCode::SynapseVersion);
    EXPECT_TRUE(says(wordless, "the newest")) << wordless.cause;
    const hl::Error mute = error_with(wrong_library("mute"));
    EXPECT_EQ(mute.code, ErrorCode::SynapseVersion);
    EXPECT_TRUE(says(mute, "status 26")) << mute.cause;
    const hl::Error strange = error_with(wrong_library("strange"));
    EXPECT_EQ(strange.code, ErrorCode::SynapseAbi);
    EXPECT_TRUE(says(strange, "synDriverGetVersion")) << strange.cause;
}

TEST(FramePoolSize, IsHalfOfWhatIsFreeUnlessSet)
{
    EXPECT_EQ(*hl::synapse::frame_pool_size(nullptr, 1u << 30), 512u << 20);
    EXPECT_EQ(*hl::synapse::frame_pool_size("", 96ull << 30), 4ull << 30);
    EXPECT_EQ(*hl::synapse::frame_pool_size("2048", 1u << 30), 2ull << 30);
    for (const char *text : {"0", "-1", "2G", "1e3", " 5", "99999999999999999999"})
        EXPECT_CODE(hl::synapse::frame_pool_size(text, 1u << 30), ErrorCode::DeviceConfig) << text;
}
