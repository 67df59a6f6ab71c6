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

// What our own frames cannot be told from caps is told apart all the same: tiles, and memories of other devices.
TEST_F(RefusalTest, OtherMemoriesAndTiledDmabufsAreNamed)
{
    const struct {
        const char *caps;
        const char *cause;
        const char *piece;
    } cases[] = {
        {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)NV12:0x0100000000000002",
         "drm-format=NV12:0x0100000000000002", "... ! 'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12' ! "},
        {"video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)XR30", "drm-format=XR30",
         "... ! video/x-raw ! videoconvert ! "},
        {"video/x-raw(memory:DMABuf),format=NV12", "DMA_DRM", "... ! video/x-raw ! videoconvert ! "},
        {"video/x-raw(memory:GLMemory),format=RGBA", "memory:GLMemory", "... ! gldownload ! "},
        {"video/x-raw(memory:CUDAMemory),format=NV12", "memory:CUDAMemory", "... ! cudadownload ! "},
        {"video/x-raw(memory:VAMemory),format=P012_LE", "memory:VAMemory", "... ! vapostproc ! videoconvert ! "},
        {"video/x-raw(memory:NVMM),format=NV12", "memory:NVMM", "... ! video/x-raw ! "},
        {"video/x-raw(format:Interlaced),format=NV12,interlace-mode=alternate", "interlace-mode=alternate",
         "... ! video/x-raw,interlace-mode=interleaved ! deinterlace ! "},
    };
    for (const auto &[factory, element] : elements)
        for (const auto &c : cases) {
            Harness h(element.c_str());
            h.src_caps(std::string(c.caps) + ",width=64,height=32,framerate=30/1");
            const auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, 64 * 32 * 4, nullptr));
            EXPECT_EQ(h.push(buffer), GST_FLOW_FLUSHING) << c.caps;
            const Messages messages = h.messages();
            ASSERT_EQ(messages.error_codes(), std::vector<std::string>{"HL-FMT-001"}) << factory << ' ' << c.caps;
            GError *error = nullptr;
            gst_message_parse_error(messages.of(GST_MESSAGE_ERROR)[0], &error, nullptr);
            const GErrorPtr owned(error);
            EXPECT_THAT(error->message, HasSubstr(c.cause));
            EXPECT_THAT(error->message, HasSubstr(std::string(c.piece) + factory));
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

} // namespace
