// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elementtesting.h"
#include "gsthlproperties.h"
#include "gsthlupstream.h"

#include <format>

using namespace hltest;

namespace {

// What becomes of the pool that hlupload and hlinfer offer, on lines that lose it.
class OfferTest : public LineTest {
protected:
    // GStreamer's V4L2 plugin opens a descriptor when it is loaded, and keeps it.
    static void SetUpTestSuite()
    {
        GstPtr<GstElement>::sink(gst_element_factory_make("v4l2src", nullptr)).reset();
    }
    static std::string line(const char *element, const char *between, const char *properties = "")
    {
        return std::format("videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=64,height=32 ! {} {} name=ours "
                           "device=sim {} {} ! fakesink",
                           between, element, std::string_view(element) == "hlinfer" ? "model=builtin:demo" : "",
                           properties);
    }
    // The only placement report of a line that ends well, as (reason, suggestion).
    static std::pair<std::string, std::string> told(const std::string &launch)
    {
        Messages messages;
        Pipeline pipeline(launch);
        EXPECT_TRUE(pipeline.run(messages)) << launch;
        std::pair<std::string, std::string> out;
        unsigned count = 0;
        for (const GstStructure *report : messages.placements()) {
            if (std::string_view(gst_structure_get_string(report, "element")) != "ours")
                continue;
            ++count;
            out = {gst_structure_get_string(report, "reason"), gst_structure_get_string(report, "suggestion")};
        }
        EXPECT_EQ(count, 1u) << launch;
        return out;
    }
    static GstHlUpstream upstream_of(const std::string &launch)
    {
        Pipeline pipeline(launch);
        const auto element = pipeline.element("ours");
        const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(element.get(), "sink"));
        return gst_hl_look_upstream(sink.get());
    }
};

TEST_F(OfferTest, TeeSwallowsThePoolAndIsNamed)
{
    for (const char *element : {"hlinfer", "hlupload"}) {
        for (const char *between :
             {"tee name=split !", "tee name=split ! queue !", "identity ! tee name=split ! identity !"}) {
            const auto [reason, suggestion] = told(line(element, between));
            EXPECT_EQ(reason, "pool-swallowed") << element << " behind " << between;
            EXPECT_NE(suggestion.find("split forwards the question for a pool"), std::string::npos) << suggestion;
            EXPECT_NE(suggestion.find(std::format("\"videotestsrc ! {} ! tee", element)), std::string::npos)
                << suggestion;
        }
    }
}

// One branch without an answer is enough, and then nobody asks us.
TEST_F(OfferTest, TeeOfSeveralBranchesSwallowsTheQuestionToo)
{
    for (const char *element : {"hlinfer", "hlupload"}) {
        const auto [reason, suggestion] = told(line(element, "tee name=split ! queue ! fakesink split. ! queue !"));
        EXPECT_EQ(reason, "pool-swallowed");
        EXPECT_NE(suggestion.find("split"), std::string::npos) << suggestion;
    }
}

// The line that the message names.
TEST_F(OfferTest, BeforeTheTeeThePoolIsUsed)
{
    for (const char *element : {"hlinfer model=builtin:demo", "hlupload"}) {
        const auto [reason, suggestion] =
            told(std::format("videotestsrc num-buffers=3 ! {} name=ours device=sim zero-copy=require ! tee ! queue ! "
                             "fakesink",
                             element));
        EXPECT_EQ(reason, "own-pool");
        EXPECT_EQ(suggestion, "");
    }
}

TEST_F(OfferTest, FramesOfOursThatCameThroughATeeAreNoTrap)
{
    const auto [reason, suggestion] =
        told("videotestsrc num-buffers=3 ! video/x-raw,format=NV12 ! hlupload device=sim ! tee ! hlinfer name=ours "
             "device=sim model=builtin:demo zero-copy=require ! fakesink");
    EXPECT_EQ(reason, "upstream-pool");
    EXPECT_EQ(suggestion, "");
}

TEST_F(OfferTest, OtherReasonsStayWhatTheyAre)
{
    for (const char *element : {"hlinfer", "hlupload"})
        EXPECT_EQ(told(line(element, "identity drop-allocation=true !")).first, "no-pool");
}

TEST_F(OfferTest, RequireNamesTheTeeInItsError)
{
    for (const char *element : {"hlinfer", "hlupload"}) {
        Messages messages;
        Pipeline pipeline(line(element, "tee name=split !", "zero-copy=require"));
        EXPECT_FALSE(pipeline.run(messages));
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-CPY-001"});
        for (GstMessage *message : messages.of(GST_MESSAGE_ERROR)) {
            const GstStructure *details = nullptr;
            gst_message_parse_error_details(message, &details);
            const std::string cause = gst_structure_get_string(details, "cause");
            EXPECT_NE(cause.find("split forwards the question for a pool"), std::string::npos) << cause;
            const std::string remedy = gst_structure_get_string(details, "remedy");
            EXPECT_NE(remedy.find("! tee"), std::string::npos) << remedy;
        }
    }
}

TEST_F(OfferTest, UpstreamIsFollowedThroughBinsToTheProducer)
{
    const GstHlUpstream direct = upstream_of("videotestsrc name=source ! identity name=ours");
    EXPECT_EQ(direct.neighbour, "source");
    EXPECT_EQ(direct.swallower, "");
    EXPECT_EQ(direct.producer, "videotestsrc");
    EXPECT_FALSE(direct.imports);

    const GstHlUpstream bins =
        upstream_of("( name=a v4l2src device=/dev/video77 io-mode=dmabuf-import ! tee name=split ) ! ( name=b queue ) ! "
                    "( name=c identity name=ours )");
    EXPECT_EQ(bins.swallower, "split");
    EXPECT_EQ(bins.producer, "v4l2src");
    EXPECT_TRUE(bins.imports);
    EXPECT_EQ(bins.node, "/dev/video77");
    EXPECT_EQ(bins.line(), "v4l2src io-mode=dmabuf-import");

    EXPECT_FALSE(upstream_of("v4l2src io-mode=mmap ! identity name=ours").imports);
    const GstHlUpstream behind = upstream_of("v4l2src io-mode=dmabuf-import ! hlupload ! identity ! hlinfer name=ours");
    EXPECT_FALSE(behind.imports) << "hlupload answers the camera";
    EXPECT_EQ(behind.producer, "hlupload");
    const GstHlUpstream mixed =
        upstream_of("videotestsrc ! compositor name=mix ! identity name=ours videotestsrc ! mix.");
    EXPECT_EQ(mixed.producer, "") << "several";
    EXPECT_EQ(mixed.line(), "SOURCE");
    const GstHlUpstream alone = upstream_of("identity name=ours ! fakesink");
    EXPECT_EQ(alone.neighbour, "upstream");
}

// One error at NULL to READY, before anything streams; and the element is as it was.
TEST_F(OfferTest, AnImporterThatIsNoneIsOneErrorAtTheStart)
{
    for (const char *element : {"hlinfer", "hlupload"}) {
        Pipeline pipeline(line(element, ""));
        const auto ours = pipeline.element("ours");
        for (const auto &[node, code] : {std::pair("/dev/video77", "HL-IMP-001"), {"/dev/null", "HL-IMP-003"}}) {
            g_object_set(ours.get(), "import-probe", node, nullptr);
            EXPECT_EQ(gst_element_set_state(ours.get(), GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
            Messages messages;
            while (GstMessage *message = gst_bus_pop(pipeline.bus()))
                messages.all.push_back(GstPtr<GstMessage>::adopt(message));
            EXPECT_EQ(messages.error_codes(), std::vector<std::string>{code}) << element;
        }
        g_object_set(ours.get(), "import-probe", nullptr, nullptr);
        Messages messages;
        EXPECT_TRUE(pipeline.run(messages)) << element;
    }
}

TEST(MemoryMode, AutoIsDeviceOnlyWhereTheImporterMapsIt)
{
    using hl::Placement;
    EXPECT_EQ(gst_hl_memory_mode_placement(GST_HL_MEMORY_AUTO, false), Placement::Host);
    EXPECT_EQ(gst_hl_memory_mode_placement(GST_HL_MEMORY_AUTO, true), Placement::Device);
    EXPECT_EQ(gst_hl_memory_mode_placement(GST_HL_MEMORY_HOST, true), Placement::Host);
    EXPECT_EQ(gst_hl_memory_mode_placement(GST_HL_MEMORY_DEVICE, false), Placement::Device);
}

} // namespace
