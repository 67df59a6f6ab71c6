// SPDX-License-Identifier: LGPL-2.1-or-later

// Video that no element of ours takes ends in one error, and what that error says to write runs.
#include "elementtesting.h"

#include <gmock/gmock.h>

#include <format>
#include <iostream>
#include <string>
#include <vector>

using namespace hltest;
using testing::HasSubstr;
using testing::Not;

namespace {

// The launch text of each element that takes video, by its factory.
const std::pair<std::string, std::string> elements[] = {{"hlupload", "hlupload device=sim"},
                                                        {"hldownload", "hldownload device=sim"},
                                                        {"hlinfer", "hlinfer device=sim model=builtin:null"}};

constexpr const char *size_fields = ",width=64,height=32,framerate=30/1";

struct Refusal {
    std::string text;   // all of the ERROR message's
    std::string piece;  // of pipeline, without "... ! " and the element
    std::string source; // the element
};

class RefusalTest : public testing::Test {
protected:
    // Runs a line that must be refused, by one error.
    static Refusal refused(const std::string &line)
    {
        SCOPED_TRACE(line);
        Messages messages;
        {
            Pipeline pipeline(line);
            EXPECT_FALSE(pipeline.run(messages)) << "it ran";
            // What came behind the first error, the source's own among it.
            gst_element_set_state(pipeline.get(), GST_STATE_NULL);
            drain(pipeline.bus(), messages);
        }
        const auto errors = messages.of(GST_MESSAGE_ERROR);
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-FMT-001"});
        EXPECT_EQ(errors.size(), 1u) << "one clear error";
        Refusal out;
        if (errors.empty())
            return out;
        GError *error = nullptr;
        gst_message_parse_error(errors[0], &error, nullptr);
        const GErrorPtr owned(error);
        out.text = error->message;
        out.source = GST_OBJECT_NAME(gst_element_get_factory(GST_ELEMENT(GST_MESSAGE_SRC(errors[0]))));
        const size_t begin = out.text.find("... ! "), end = out.text.rfind(out.source);
        EXPECT_TRUE(begin != std::string::npos && end != std::string::npos && end > begin) << out.text;
        if (begin != std::string::npos && end > begin)
            out.piece = out.text.substr(begin + 6, end - begin - 6);
        std::erase(out.piece, '\''); // which are the shell's
        return out;
    }

    // The text of the one error by which the element refuses these caps, when they arrive.
    static std::string refusal_of(const std::string &element, const std::string &caps)
    {
        SCOPED_TRACE(element + " behind " + caps);
        Harness h(element.c_str());
        h.src_caps(caps);
        const auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, 64 * 32 * 4, nullptr));
        EXPECT_EQ(h.push(buffer), GST_FLOW_FLUSHING);
        const Messages messages = h.messages();
        EXPECT_EQ(messages.error_codes(), std::vector<std::string>{"HL-FMT-001"});
        const auto errors = messages.of(GST_MESSAGE_ERROR);
        if (errors.empty())
            return {};
        GError *error = nullptr;
        gst_message_parse_error(errors[0], &error, nullptr);
        return GErrorPtr(error)->message;
    }

    // That `piece`, of elements that are there, is a launch line, and links what makes frames of `caps` to `element`. A
    // piece that begins with caps is for what makes others too.
    static void linked(const std::string &caps, std::string piece, const std::string &element)
    {
        std::erase(piece, '\''); // which are the shell's
        SCOPED_TRACE(caps + " ! " + piece + element);
        const std::string first = piece.substr(0, piece.find(' '));
        if (piece.find("download") != std::string::npos || first == "vapostproc")
            if (const auto factory = GstPtr<GstElementFactory>::adopt(gst_element_factory_find(first.c_str()));
                !factory) {
                std::cout << std::format("{} is not here: \"{}\" is compared as text only\n", first, piece);
                return;
            }
        const bool others = piece.starts_with("video/x-raw");
        GError *error = nullptr;
        const auto line = GstPtr<GstElement>::sink(gst_parse_launch_full(
            std::format("fakesrc ! capsfilter name=made ! {}{} ! fakesink", piece, element).c_str(), nullptr,
            GST_PARSE_FLAG_FATAL_ERRORS, &error));
        ASSERT_EQ(error, nullptr) << error->message;
        const auto made = GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(line.get()), "made"));
        const auto source = GstPtr<GstPad>::adopt(gst_element_get_static_pad(made.get(), "src"));
        const auto sink = GstPtr<GstPad>::adopt(gst_pad_get_peer(source.get()));
        ASSERT_TRUE(gst_pad_unlink(source.get(), sink.get()));
        const auto filter = caps_of(others ? caps + "; video/x-raw(memory:DMABuf); video/x-raw" : caps);
        g_object_set(made.get(), "caps", filter.get(), nullptr);
        EXPECT_EQ(gst_pad_link(source.get(), sink.get()), GST_PAD_LINK_OK);
    }

    static void runs(const std::string &line)
    {
        SCOPED_TRACE(line);
        Messages messages;
        Pipeline pipeline(line);
        EXPECT_TRUE(pipeline.run(messages)) << "what the error says to write must run";
        EXPECT_TRUE(messages.of(GST_MESSAGE_ERROR).empty());
    }

    // Refused behind `source`, and taken behind `source` and what the error says. Returns that.
    static std::string corrected(const std::string &source, const std::string &factory, const std::string &element)
    {
        const Refusal refusal = refused(std::format("{} ! {} ! fakesink", source, element));
        EXPECT_EQ(refusal.source, factory);
        if (!refusal.piece.empty())
            runs(std::format("{} ! {}{} ! fakesink", source, refusal.piece, element));
        return refusal.piece;
    }
};

std::string source(const std::string &caps)
{
    return std::format("videotestsrc num-buffers=3 ! video/x-raw,width=62,height=46,framerate=30/1,{}", caps);
}

TEST_F(RefusalTest, OtherFormatsNameTheLineThatConvertsThem)
{
    for (const auto &[factory, element] : elements)
        for (const char *format : {"GRAY16_LE", "I420_10LE", "Y444", "AYUV", "NV12_64Z32", "NV12_4L4", "RGB16", "Y210",
                                   "v308", "P016_LE", "ARGB64"}) {
            const std::string piece = corrected(source(std::format("format={}", format)), factory, element);
            EXPECT_EQ(piece, "videoconvert ! ") << format;
            std::cout << std::format("{:12} before {:10} -> ... ! {}{}\n", format, factory, piece, factory);
        }
}

TEST_F(RefusalTest, InterlacedVideoNamesTheLineThatWeavesIt)
{
    for (const auto &[factory, element] : elements)
        for (const char *mode : {"interleaved", "mixed", "fields"})
            for (const std::string &format : all_formats()) {
                const bool deinterlaced =
                    format != "P010_10LE" && format != "NV16" && format != "GRAY8" && format != "NV21";
                const std::string piece =
                    corrected(source(std::format("format={},interlace-mode={}", format, mode)), factory, element);
                EXPECT_EQ(piece,
                          deinterlaced ? "deinterlace ! " : "videoconvert ! video/x-raw,format=NV12 ! deinterlace ! ")
                    << format;
            }
    const std::string both = corrected(source("format=Y210,interlace-mode=interleaved"), "hlinfer", elements[2].second);
    EXPECT_EQ(both, "videoconvert ! video/x-raw,format=NV12 ! deinterlace ! ");
}

// What a stock element makes of a progressive picture, rather than caps that only say so.
TEST_F(RefusalTest, RealInterlacersToo)
{
    const std::string made = source("format=I420") + " ! interlace field-pattern=2:2";
    EXPECT_EQ(corrected(made, "hlinfer", elements[2].second), "deinterlace ! ");
}

TEST_F(RefusalTest, CapsWithoutAnInterlaceModeAreProgressive)
{
    for (const auto &[factory, element] : elements) {
        Harness h(element.c_str());
        const std::string caps = system_caps("NV12", 64, 32);
        ASSERT_THAT(caps, Not(HasSubstr("interlace")));
        h.src_caps(caps);
        EXPECT_EQ(h.push(foreign_frame(caps, picture(caps, 1))), GST_FLOW_OK) << factory;
        EXPECT_TRUE(h.messages().of(GST_MESSAGE_ERROR).empty());
    }
}

// Where upstream has a choice, it never comes to a refusal.
TEST_F(RefusalTest, WhatIsTakenIsChosen)
{
    for (const auto &[factory, element] : elements) {
        runs(source("interlace-mode={(string)interleaved,(string)progressive}") + " ! " + element + " ! fakesink");
        runs(source("format={(string)GRAY16_LE,(string)Y444,(string)NV16}") + " ! " + element + " ! fakesink");
        runs("videotestsrc num-buffers=3 ! " + element + " ! fakesink");
        runs(source("format=Y444") + " ! videoconvert ! " + element + " ! fakesink");
        const auto made = GstPtr<GstElement>::sink(gst_parse_launch(element.c_str(), nullptr));
        const auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(made.get(), "sink"));
        const auto choice = caps_of("video/x-raw,format={(string)Y444,(string)NV16,(string)P010_10LE},interlace-mode="
                                    "{(string)mixed,(string)progressive}");
        const auto answer = GstPtr<GstCaps>::adopt(gst_pad_query_caps(pad.get(), choice.get()));
        const auto want = caps_of("video/x-raw,format={(string)NV16,(string)P010_10LE},interlace-mode=progressive," +
                                  std::string("width=(int)[1,max],height=(int)[1,max],framerate=(fraction)[0/1,max]"));
        EXPECT_TRUE(gst_caps_is_subset(answer.get(), want.get())) << GCharPtr(gst_caps_to_string(answer.get())).get();
        EXPECT_FALSE(gst_caps_is_empty(answer.get())) << factory;
        // And the pads' templates, which gst-inspect-1.0 shows, name what is taken alone.
        const auto shown = GstPtr<GstCaps>::adopt(gst_pad_get_pad_template_caps(pad.get()));
        EXPECT_TRUE(gst_caps_is_equal(shown.get(), caps_of(gst_hl_video_caps()).get())) << factory;
    }
}

// They ask whether they may attach what they draw, and draw it where the answer is no.
TEST_F(RefusalTest, OverlaysDrawByThemselves)
{
    const std::string frames = source("format=NV12");
    for (const auto &[factory, element] : elements) {
        for (const char *overlay : {"timeoverlay", "clockoverlay", "textoverlay text=x", "timeoverlay ! queue"})
            runs(std::format("{} ! {} ! {} ! fakesink", frames, overlay, element));
        for (const char *between : {"", "videoconvert ! "})
            runs(std::format("{} ! hlinfer device=sim model=builtin:demo ! hltensordec ! objectdetectionoverlay ! {}{} "
                             "! fakesink",
                             source("format=BGRx"), between, element));
    }
}

// A pad with this template, linked to the element's; and the answer to what it asks.
bool asks(const std::string &element, const char *makes, const char *filter)
{
    const auto made = GstPtr<GstElement>::sink(gst_parse_launch(element.c_str(), nullptr));
    const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(made.get(), "sink"));
    const auto pad_template =
        GstPtr<GstPadTemplate>::sink(gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps_of(makes).get()));
    const auto source = GstPtr<GstPad>::sink(gst_pad_new_from_template(pad_template.get(), "src"));
    EXPECT_EQ(gst_pad_link_full(source.get(), sink.get(), GST_PAD_LINK_CHECK_NOTHING), GST_PAD_LINK_OK);
    const auto answer = GstPtr<GstCaps>::adopt(gst_pad_peer_query_caps(source.get(), caps_of(filter).get()));
    gst_pad_unlink(source.get(), sink.get());
    return !gst_caps_is_empty(answer.get());
}

// A decoder that may leave frames in its device's memory asks for that alone; one that must is told why not by the
// refusal of its caps.
TEST_F(RefusalTest, OtherMemoryIsWantedOnlyFromWhoHasNoOther)
{
    constexpr const char *memory = "video/x-raw(memory:VAMemory),format=NV12";
    constexpr const char *tiled = "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12:0x0100000000000002";
    const std::string plain = "; video/x-raw,format=NV12";
    for (const auto &[factory, element] : elements)
        for (const char *asked : {memory, tiled}) {
            EXPECT_FALSE(asks(element, (asked + plain).c_str(), asked)) << factory << ' ' << asked;
            EXPECT_TRUE(asks(element, asked, asked)) << factory << ' ' << asked;
            EXPECT_TRUE(asks(element, "video/x-raw(ANY)", asked)) << factory << ' ' << asked;
            EXPECT_TRUE(asks(element, (asked + plain).c_str(), plain.c_str() + 2)) << factory;
        }
}

// What our own frames cannot be told from caps is told apart all the same: tiles, and memories of other devices.
TEST_F(RefusalTest, OtherMemoriesAndTiledDmabufsAreNamed)
{
    const struct {
        const char *caps;
        const char *cause;
        const char *piece;
    } cases[] = {
        {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)NV12:0x0100000000000002",
         "drm-format=NV12:0x0100000000000002",
         "... ! 'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"NV12\"' ! "},
        {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"R8  :0x0100000000000002\"",
         "drm-format=R8  :0x0100000000000002",
         "... ! 'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"R8  \"' ! "},
        {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)XR30", "drm-format=XR30",
         "... ! video/x-raw ! videoconvert ! "},
        {"video/x-raw(memory:DMABuf),format=NV12", "DMA_DRM", "... ! video/x-raw ! videoconvert ! "},
        {"video/x-raw(memory:GLMemory),format=RGBA", "memory:GLMemory", "... ! gldownload ! "},
        {"video/x-raw(memory:CUDAMemory),format=NV12", "memory:CUDAMemory", "... ! cudadownload ! "},
        {"video/x-raw(memory:VAMemory),format=P012_LE", "memory:VAMemory", "... ! vapostproc ! videoconvert ! "},
        {"video/x-raw(meta:GstVideoOverlayComposition),format=NV12", "meta:GstVideoOverlayComposition",
         "... ! video/x-raw ! "},
        {"video/x-raw(format:Interlaced),format=NV12,interlace-mode=alternate", "interlace-mode=alternate",
         "... ! video/x-raw,interlace-mode=interleaved ! deinterlace ! "},
    };
    for (const auto &[factory, element] : elements)
        for (const auto &c : cases) {
            const std::string text = refusal_of(element, c.caps + std::string(size_fields));
            EXPECT_THAT(text, HasSubstr(c.cause));
            EXPECT_THAT(text, HasSubstr(std::string(c.piece) + factory));
            linked(c.caps, c.piece + sizeof "... ! " - 1, element);
        }
}

// No line leads out of a memory that no element is known for: nothing is said to write.
TEST_F(RefusalTest, MemoriesOfUnknownDevicesAreNamed)
{
    for (const auto &[factory, element] : elements)
        for (const char *format : {"NV12", "GRAY16_LE", "NV12,interlace-mode=mixed"}) {
            const std::string text =
                refusal_of(element, std::format("video/x-raw(memory:NVMM),format={}{}", format, size_fields));
            EXPECT_THAT(text, HasSubstr("bring the frames from memory:NVMM to system memory"));
            EXPECT_THAT(text, Not(HasSubstr("write:")));
        }
}

// What is missing is told, not that a format which is taken were not.
TEST_F(RefusalTest, IncompleteCapsOfDmabufsAreCalledIncomplete)
{
    for (const auto &[factory, element] : elements)
        for (const char *caps : {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,framerate=30/1",
                                 "video/x-raw(memory:DMABuf),format=DMA_DRM,width=64,height=32,framerate=30/1"}) {
            const std::string text = refusal_of(element, caps);
            EXPECT_THAT(text, HasSubstr("is no complete video format")) << factory;
            EXPECT_THAT(text, HasSubstr("set width, height, format and framerate"));
        }
}

// An error belongs to its caps: once these are taken, the stream goes on, and another refusal is told again.
TEST_F(RefusalTest, TransformsGoOnWithCapsThatAreTaken)
{
    for (const auto &[factory, element] : {elements[0], elements[1]}) {
        Harness h(element.c_str());
        const std::string taken = system_caps("NV12", 64, 32), interlaced = taken + ",interlace-mode=mixed";
        for (int round = 0; round < 2; ++round) {
            h.src_caps(interlaced);
            EXPECT_EQ(h.push(foreign_frame(taken, picture(taken, 1))), GST_FLOW_FLUSHING);
            EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-FMT-001"}) << factory;
            h.src_caps(taken);
            EXPECT_EQ(h.push(foreign_frame(taken, picture(taken, 2))), GST_FLOW_OK) << factory;
            EXPECT_TRUE(h.messages().of(GST_MESSAGE_ERROR).empty());
        }
    }
}

// After a flush the user is told again, though the caps are the same.
TEST_F(RefusalTest, TransformsTellAgainAfterAFlush)
{
    for (const auto &[factory, element] : {elements[0], elements[1]}) {
        Harness h(element.c_str());
        const std::string taken = system_caps("NV12", 64, 32);
        for (int round = 0; round < 2; ++round) {
            h.src_caps(taken + ",interlace-mode=mixed");
            EXPECT_EQ(h.push(foreign_frame(taken, picture(taken, 1))), GST_FLOW_FLUSHING);
            EXPECT_EQ(h.messages().error_codes(), std::vector<std::string>{"HL-FMT-001"}) << factory;
            gst_harness_push_event(h.get(), gst_event_new_flush_start());
            gst_harness_push_event(h.get(), gst_event_new_flush_stop(TRUE));
        }
    }
}

} // namespace
