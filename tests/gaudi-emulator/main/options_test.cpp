// SPDX-License-Identifier: LGPL-2.1-or-later
#include "main/options.h"

#include <gmock/gmock.h>

namespace gaudiemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(OptionsTest, TakesAll)
{
    const auto options =
        Options::parse({"--chip", "gaudi2", "--socket", "/a", "--capture=/b", "--scanout", "/c", "--fault",
                        "dma-stall@3", "--fault=dma-slow=7", "--film=f:NV12:64x32", "--null"});
    ASSERT_TRUE(options) << options.error();
    EXPECT_EQ(options->chip, Chip::Gaudi2);
    EXPECT_EQ(options->gaudi, "/a");
    EXPECT_EQ(options->capture, "/b");
    EXPECT_EQ(options->scanout, "/c");
    EXPECT_EQ(options->film, "f:NV12:64x32");
    EXPECT_THAT(options->faults, ElementsAre("dma-stall@3", "dma-slow=7"));
    EXPECT_EQ(options->behaviour, Behaviour::Null);
    EXPECT_EQ(Options::parse({"--dead", "--socket", "/a"})->behaviour, Behaviour::Dead);
    EXPECT_EQ(Options::parse({"--chip=gaudi", "--socket", "/a"})->chip, Chip::Gaudi);
    EXPECT_EQ(Options::parse({"--socket", "/a"})->chip, Chip::Gaudi2);
}

TEST(OptionsTest, SaysWhatIsWrong)
{
    const auto error_of = [](const std::vector<std::string> &arguments) { return Options::parse(arguments).error(); };
    EXPECT_THAT(error_of({"--socket", "/a", "--frob"}), HasSubstr("--frob"));
    EXPECT_THAT(error_of({"--socket"}), HasSubstr("--socket wants a value"));
    EXPECT_THAT(error_of({"--chip", "gaudi9", "--socket", "/a"}), HasSubstr("gaudi9"));
    EXPECT_THAT(error_of({"--null", "--dead", "--socket", "/a"}), HasSubstr("one of them"));
    EXPECT_THAT(error_of({}), HasSubstr("nothing to serve"));
}

} // namespace
} // namespace gaudiemu
