// SPDX-License-Identifier: LGPL-2.1-or-later

// A stock software decoder in front of our elements: from the second group of pictures on it renders into the pool that
// we propose. The witnesses are the dma-buf's inode at the decoder's src pad, libav's own log, and pixels compared with
// a decode that never met our elements; none of them is our counter.

#include "gsthlptr.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr int gop = 10;
constexpr int frames = 60;
// The coded height (368) differs from the shown one, so that the decoder needs padding from our pool.
constexpr int width = 640, height = 362;

struct Pipeline {
    explicit Pipeline(const std::string &text)
    {
        GError *error = nullptr;
        element = GstPtr<GstElement>::sink(gst_parse_launch(text.c_str(), &error));
        const GErrorPtr owned(error);
        if (error)
            ADD_FAILURE() << error->message;
    }
    ~Pipeline() { gst_element_set_state(element.get(), GST_STATE_NULL); }

    [[nodiscard]] GstPtr<GstElement> find(const char *name) const
    {
        return GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(element.get()), name));
    }

    // Plays to the end; false with a test failure on an error.
    bool play() const
    {
        gst_element_set_state(element.get(), GST_STATE_PLAYING);
        auto bus = GstPtr<GstBus>::adopt(gst_element_get_bus(element.get()));
        auto message = GstPtr<GstMessage>::adopt(gst_bus_timed_pop_filtered(
            bus.get(), 60 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
        if (!message) {
            ADD_FAILURE() << "no EOS within 60 s";
            return false;
        }
        if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS)
            return true;
        GError *error = nullptr;
        gchar *debug = nullptr;
        gst_message_parse_error(message.get(), &error, &debug);
        const GErrorPtr owned(error);
        const GCharPtr owned_debug(debug);
        ADD_FAILURE() << error->message << '\n' << (debug ? debug : "");
        return false;
    }

    GstPtr<GstElement> element;
};

// What left the decoder: whether it was ours, and which dma-buf.
struct Seen {
    std::mutex mutex;
    std::vector<bool> ours;
    std::set<ino_t> inodes;
};

GstPadProbeReturn look(GstPad *, GstPadProbeInfo *info, gpointer data)
{
    auto *seen = static_cast<Seen *>(data);
    GstMemory *memory = gst_buffer_peek_memory(GST_PAD_PROBE_INFO_BUFFER(info), 0);
    const std::lock_guard lock(seen->mutex);
    // By name: this program must not link what the plugin registers.
    const bool ours = gst_is_dmabuf_memory(memory) && gst_memory_is_type(memory, "HlMemory");
    seen->ours.push_back(ours);
    struct stat st{};
    if (ours && fstat(gst_dmabuf_memory_get_fd(memory), &st) == 0)
        seen->inodes.insert(st.st_ino);
    return GST_PAD_PROBE_OK;
}

// Counts the frames that libav copies out of memory of its own: it logs "get output buffer" on that path alone
// (gst-libav gstavviddec.c, get_output_buffer()).
class LibavCopies {
public:
    LibavCopies()
    {
        gst_debug_set_threshold_for_name("libav", GST_LEVEL_LOG);
        gst_debug_set_active(TRUE);
        gst_debug_remove_log_function(gst_debug_log_default);
        gst_debug_add_log_function(note, this, nullptr);
    }
    ~LibavCopies()
    {
        gst_debug_remove_log_function_by_data(this);
        gst_debug_unset_threshold_for_name("libav");
    }
    LibavCopies(const LibavCopies &) = delete;
    LibavCopies &operator=(const LibavCopies &) = delete;

    [[nodiscard]] int count() const { return copies_; }

private:
    static void note(GstDebugCategory *category, GstDebugLevel, const gchar *, const gchar *, gint, GObject *,
                     GstDebugMessage *message, gpointer data) noexcept
    {
        auto *self = static_cast<LibavCopies *>(data);
        if (g_strcmp0(gst_debug_category_get_name(category), "libav") == 0 &&
            g_strcmp0(gst_debug_message_get(message), "get output buffer") == 0)
            ++self->copies_;
    }

    std::atomic<int> copies_{0};
};

class Libav : public testing::Test {
protected:
    void SetUp() override { make_clip(width, height); }
    void make_clip(int w, int h)
    {
        folder_ = std::filesystem::temp_directory_path() / ("hl-libav-" + std::to_string(getpid()));
        std::filesystem::create_directories(folder_);
        clip_ = folder_ / "clip.mp4";
        const Pipeline make("videotestsrc num-buffers=" + std::to_string(frames) +
                            " pattern=ball ! video/x-raw,format=I420,framerate=30/1,width=" + std::to_string(w) +
                            ",height=" + std::to_string(h) + " ! x264enc key-int-max=" + std::to_string(gop) +
                            " bframes=0 tune=zerolatency ! h264parse ! mp4mux ! filesink location=" + clip_.string());
        ASSERT_TRUE(make.play());
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string decoder() const
    {
        return "filesrc location=" + clip_.string() +
               " ! qtdemux ! h264parse ! avdec_h264 max-threads=1 name=decoder ! ";
    }

    std::filesystem::path folder_, clip_;
};

// Every decoded frame's luma; its rows have no padding at this width.
std::vector<std::string> pixels_of(const std::string &line)
{
    const Pipeline pipeline(line + " ! videoconvert ! video/x-raw,format=GRAY8 ! appsink name=out sync=false");
    auto sink = pipeline.find("out");
    gst_element_set_state(pipeline.element.get(), GST_STATE_PLAYING);
    std::vector<std::string> out;
    while (GstSample *sample = gst_app_sink_try_pull_sample(GST_APP_SINK(sink.get()), 20 * GST_SECOND)) {
        const GstBufferMap map(gst_sample_get_buffer(sample), GST_MAP_READ);
        out.emplace_back(reinterpret_cast<const char *>(map.data()), map.size());
        gst_sample_unref(sample);
    }
    return out;
}

} // namespace

// The control of the witness: without direct rendering libav copies every frame, and the witness sees it.
TEST_F(Libav, WitnessSeesCopiesWhereThereAreSome)
{
    const Pipeline pipeline(decoder() + "hlinfer model=builtin:null ! fakesink sync=false");
    g_object_set(pipeline.find("decoder").get(), "direct-rendering", FALSE, nullptr);
    const LibavCopies copies;
    ASSERT_TRUE(pipeline.play());
    EXPECT_EQ(copies.count(), frames);
}

TEST_F(Libav, RendersIntoOurPoolFromTheSecondGop)
{
    const Pipeline pipeline(decoder() + "hlinfer name=infer model=builtin:null ! fakesink sync=false");
    const LibavCopies copies;
    Seen seen;
    auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(pipeline.find("decoder").get(), "src"));
    gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, look, &seen, nullptr);
    ASSERT_TRUE(pipeline.play());

    if (GST_CHECK_VERSION(1, 28, 0))
        // As documented: should this begin to fail, docs/zero-copy.md is to be changed.
        EXPECT_EQ(copies.count(), frames) << "the decoder renders into our pool, and copies to another frame of it";
    else
        EXPECT_LE(copies.count(), gop) << "the decoder copies frames after the first group of pictures";
    ASSERT_EQ(seen.ours.size(), static_cast<size_t>(frames));
    for (size_t i = gop; i < seen.ours.size(); ++i)
        EXPECT_TRUE(seen.ours[i]) << "frame " << i << " is not in our pool";
    // A pool that is recycled shows few dma-bufs; one that is not, one per frame.
    EXPECT_GE(seen.inodes.size(), 1u);
    EXPECT_LT(seen.inodes.size(), static_cast<size_t>(frames / 2));
}

// The chroma of this size is odd, and libav asks for a new pool with every frame; the memories are the same few.
TEST_F(Libav, OddChromaSizesDoNotAllocateEveryFrame)
{
    make_clip(322, 242);
    const Pipeline pipeline(decoder() + "hlinfer name=infer model=builtin:null ! fakesink sync=false");
    Seen seen;
    auto pad = GstPtr<GstPad>::adopt(gst_element_get_static_pad(pipeline.find("decoder").get(), "src"));
    gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, look, &seen, nullptr);
    ASSERT_TRUE(pipeline.play());
    EXPECT_EQ(seen.ours.size(), static_cast<size_t>(frames));
    EXPECT_GE(seen.inodes.size(), 1u);
    EXPECT_LT(seen.inodes.size(), static_cast<size_t>(frames / 2));
}

// filesink does not know GstVideoMeta, so the decoder must not give it padded rows because of us.
TEST_F(Libav, WhoKnowsNoStridesGetsPlainFrames)
{
    const auto written = [&](const std::string &middle) {
        const std::string file = (folder_ / "frames.raw").string();
        const Pipeline pipeline(decoder() + middle + "filesink location=" + file);
        EXPECT_TRUE(pipeline.play());
        std::ifstream in(file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), {});
    };
    const std::string plain = written("");
    ASSERT_EQ(plain.size(), static_cast<size_t>(frames) * width * height * 3 / 2);
    EXPECT_TRUE(written("hlinfer model=builtin:null ! ") == plain);
}

TEST_F(Libav, UploadAndDownloadKeepEveryPixel)
{
    const auto reference = pixels_of(decoder().substr(0, decoder().size() - 3));
    const auto through = pixels_of(decoder() + "hlupload ! hlinfer model=builtin:null ! hldownload");
    ASSERT_EQ(reference.size(), static_cast<size_t>(frames));
    EXPECT_TRUE(reference == through) << "the frames changed on their way through Gaudi memory";
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
