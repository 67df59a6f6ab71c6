// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlcaps.h"
#include "gsthldevice.h"
#include "gsthlvideo.h"
#include "memorytesting.h"

#include <gst/check/gstharness.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// From GST_PLUGIN_DEFINE: the elements are linked into these tests, so that both see one table of devices.
extern "C" void gst_plugin_habana_register(void);

// What the tests of whole elements share.
namespace hltest {

// The context by which an application or a neighbour hands an element its device.
inline GstPtr<GstContext> context_with(const std::shared_ptr<hl::Device> &device)
{
    auto context = GstPtr<GstContext>::adopt(gst_context_new(GST_HL_DEVICE_CONTEXT_TYPE, TRUE));
    const auto wrapped = gst_hl_device_wrap(device);
    gst_structure_set(gst_context_writable_structure(context.get()), "device", GST_TYPE_HL_DEVICE, wrapped.get(),
                      nullptr);
    return context;
}

class ElementEnvironment : public testing::Environment {
public:
    void SetUp() override
    {
        gst_init(nullptr, nullptr);
        gst_plugin_habana_register();
    }
};
inline testing::Environment *const element_environment = testing::AddGlobalTestEnvironment(new ElementEnvironment);

inline GstPtr<GstCaps> caps_of(const std::string &text)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_from_string(text.c_str()));
    EXPECT_TRUE(out) << text;
    return out;
}

inline std::string system_caps(const std::string &format, int width, int height)
{
    return "video/x-raw,framerate=30/1,format=" + format + ",width=" + std::to_string(width) +
           ",height=" + std::to_string(height);
}

inline std::string dmabuf_caps(const std::string &format, int width, int height)
{
    const auto system = caps_of(system_caps(format, width, height));
    const auto dmabuf = GstPtr<GstCaps>::adopt(gst_hl_caps_to_dmabuf(system.get()));
    return GCharPtr(gst_caps_to_string(dmabuf.get())).get();
}

inline GstVideoInfo video_info(const std::string &caps)
{
    GstVideoInfo info;
    EXPECT_TRUE(gst_hl_video_info_from_caps(caps_of(caps).get(), &info)) << caps;
    return info;
}

// The pixels of a picture, plane by plane, without padding.
using Picture = std::vector<Bytes>;

inline Picture picture(const std::string &caps, unsigned seed)
{
    const hl::FrameFormat format = *gst_hl_frame_format(video_info(caps));
    Picture out;
    for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p)
        out.push_back(pattern(size_t{hl::plane_row_bytes(format, p)} * hl::plane_rows(format, p),
                              seed * 8 + static_cast<unsigned>(p)));
    return out;
}

// Lays a picture into bytes with the strides and offsets given.
inline void paint(const Picture &from, const hl::FrameFormat &format, const gsize *offset, const gint *stride,
                  unsigned char *to)
{
    for (size_t p = 0; p < from.size(); ++p) {
        const size_t row = hl::plane_row_bytes(format, p);
        for (size_t y = 0; y < hl::plane_rows(format, p); ++y)
            std::memcpy(to + offset[p] + y * static_cast<size_t>(stride[p]), from[p].data() + y * row, row);
    }
}

inline Picture unpaint(const unsigned char *from, const hl::FrameFormat &format, const gsize *offset,
                       const gint *stride)
{
    Picture out;
    for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p) {
        const size_t row = hl::plane_row_bytes(format, p);
        Bytes plane;
        for (size_t y = 0; y < hl::plane_rows(format, p); ++y) {
            const unsigned char *at = from + offset[p] + y * static_cast<size_t>(stride[p]);
            plane.insert(plane.end(), at, at + row);
        }
        out.push_back(std::move(plane));
    }
    return out;
}

// The picture in a buffer of device placement, read by DMA.
inline Picture device_picture(hl::Device &device, GstBuffer *buffer, const std::string &caps)
{
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    const auto memory = gst_hl_memory_get(gst_buffer_peek_memory(buffer, 0));
    if (!meta || !memory || memory->placement != hl::Placement::Device) {
        ADD_FAILURE() << "no frame in device memory";
        return {};
    }
    const Bytes bytes = device_read(device, *memory, memory->size);
    return unpaint(bytes.data(), *gst_hl_frame_format(video_info(caps)), meta->offset, meta->stride);
}

inline Picture mapped_picture(GstBuffer *buffer, const std::string &caps)
{
    const GstVideoInfo info = video_info(caps);
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    const GstBufferMap map(buffer, GST_MAP_READ);
    if (!map) {
        ADD_FAILURE() << "no map";
        return {};
    }
    return unpaint(map.data(), *gst_hl_frame_format(info), meta ? meta->offset : info.offset,
                   meta ? meta->stride : info.stride);
}

inline void paint_buffer(GstBuffer *buffer, const std::string &caps, const Picture &what)
{
    const GstVideoInfo info = video_info(caps);
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    const GstBufferMap map(buffer, GST_MAP_WRITE);
    ASSERT_TRUE(map);
    paint(what, *gst_hl_frame_format(info), meta ? meta->offset : info.offset, meta ? meta->stride : info.stride,
          map.data());
}

inline GstPtr<GstBuffer> foreign_frame(const std::string &caps, const Picture &what)
{
    auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, video_info(caps).size, nullptr));
    paint_buffer(buffer.get(), caps, what);
    return buffer;
}

// Of system memory, with strides that are odd and offsets that are not aligned; all of it 0xa5, so that what is read
// from between the rows shows.
inline GstPtr<GstBuffer> odd_frame(const std::string &caps)
{
    const GstVideoInfo info = video_info(caps);
    const hl::FrameFormat format = *gst_hl_frame_format(info);
    gsize offset[GST_VIDEO_MAX_PLANES] = {}, end = 0;
    gint stride[GST_VIDEO_MAX_PLANES] = {};
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        offset[p] = end + 5;
        stride[p] = static_cast<gint>((hl::plane_row_bytes(format, p) + 4) | 1);
        end = offset[p] + static_cast<gsize>(stride[p]) * hl::plane_rows(format, p);
    }
    auto buffer = GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, end, nullptr));
    gst_buffer_memset(buffer.get(), 0, 0xa5, end);
    gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
                                   static_cast<guint>(info.width), static_cast<guint>(info.height),
                                   GST_VIDEO_INFO_N_PLANES(&info), offset, stride);
    return buffer;
}

// What a bus has, by kind.
struct Messages {
    std::vector<GstPtr<GstMessage>> all;

    std::vector<GstMessage *> of(GstMessageType type) const
    {
        std::vector<GstMessage *> out;
        for (const auto &message : all)
            if (GST_MESSAGE_TYPE(message.get()) == type)
                out.push_back(message.get());
        return out;
    }
    // The "hl-placement" structures, in order.
    std::vector<const GstStructure *> placements() const
    {
        std::vector<const GstStructure *> out;
        for (GstMessage *message : of(GST_MESSAGE_ELEMENT))
            if (gst_message_has_name(message, "hl-placement"))
                out.push_back(gst_message_get_structure(message));
        return out;
    }
    // The codes of all ERROR messages that carry our details.
    std::vector<std::string> error_codes() const
    {
        std::vector<std::string> out;
        for (GstMessage *message : of(GST_MESSAGE_ERROR)) {
            const GstStructure *details = nullptr;
            gst_message_parse_error_details(message, &details);
            if (details && gst_structure_has_name(details, "hl-error"))
                out.emplace_back(gst_structure_get_string(details, "code"));
        }
        return out;
    }
};

inline void drain(GstBus *bus, Messages &into)
{
    while (GstMessage *message = gst_bus_pop(bus))
        into.all.push_back(GstPtr<GstMessage>::adopt(message));
}

// One element between two test pads, with a bus.
class Harness {
public:
    // `launch` is one element with its properties.
    explicit Harness(const char *launch) : bus_(gst_bus_new())
    {
        const auto element = GstPtr<GstElement>::sink(gst_parse_launch(launch, nullptr));
        EXPECT_TRUE(element) << launch;
        harness_ = gst_harness_new_with_element(element.get(), "sink", "src");
        gst_element_set_bus(harness_->element, bus_);
    }
    ~Harness()
    {
        gst_element_set_bus(harness_->element, nullptr);
        gst_harness_teardown(harness_);
        gst_object_unref(bus_);
    }
    Harness(const Harness &) = delete;
    Harness &operator=(const Harness &) = delete;

    GstHarness *get() const { return harness_; }
    GstElement *element() const { return harness_->element; }
    void src_caps(const std::string &caps) { gst_harness_set_src_caps(harness_, caps_of(caps).release()); }
    void sink_caps(const std::string &caps) { gst_harness_set_sink_caps(harness_, caps_of(caps).release()); }

    // Pushes a copy of the reference.
    GstFlowReturn push(const GstPtr<GstBuffer> &buffer)
    {
        return gst_harness_push(harness_, GstPtr<GstBuffer>(buffer).release());
    }
    GstPtr<GstBuffer> pull() { return GstPtr<GstBuffer>::adopt(gst_harness_try_pull(harness_)); }
    std::string negotiated()
    {
        const auto caps = GstPtr<GstCaps>::adopt(gst_pad_get_current_caps(harness_->sinkpad));
        return caps ? GCharPtr(gst_caps_to_string(caps.get())).get() : "";
    }
    // The answer to an ALLOCATION query for these caps.
    GstPtr<GstQuery> ask(const std::string &caps, bool need_pool = true)
    {
        auto query = GstPtr<GstQuery>::adopt(gst_query_new_allocation(caps_of(caps).get(), need_pool));
        EXPECT_TRUE(gst_pad_peer_query(harness_->srcpad, query.get()));
        return query;
    }
    // The pool that is offered for these caps, active.
    GstPtr<GstBufferPool> offered(const std::string &caps)
    {
        const auto query = ask(caps);
        GstBufferPool *pool = nullptr;
        guint size = 0, min = 0, max = 0;
        gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, &size, &min, &max);
        if (!pool) {
            ADD_FAILURE() << "no pool is offered";
            return {};
        }
        GstStructure *config = gst_buffer_pool_get_config(pool);
        gst_buffer_pool_config_set_params(config, caps_of(caps).get(), size, min, max);
        EXPECT_TRUE(gst_buffer_pool_set_config(pool, config));
        EXPECT_TRUE(gst_buffer_pool_set_active(pool, TRUE));
        return GstPtr<GstBufferPool>::adopt(pool);
    }
    Messages messages()
    {
        Messages out;
        drain(bus_, out);
        return out;
    }
    uint64_t stat(const char *field)
    {
        GstStructure *stats = nullptr;
        g_object_get(harness_->element, "stats", &stats, nullptr);
        const GstStructurePtr owned(stats);
        guint64 value = 0;
        EXPECT_TRUE(gst_structure_get_uint64(stats, field, &value)) << field;
        return value;
    }

private:
    GstHarness *harness_ = nullptr;
    GstBus *bus_;
};

inline GstPtr<GstBuffer> frame_of(const GstPtr<GstBufferPool> &pool)
{
    GstBuffer *buffer = nullptr;
    EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
    return GstPtr<GstBuffer>::adopt(buffer);
}

// Counts pipelines until their memory is freed. GstBin finishes an asynchronous state change on a thread of its own,
// which may hold the last reference: what it holds (device, descriptors) is given back only then.
class LivePipelines {
public:
    void add(GstElement *pipeline)
    {
        const std::lock_guard lock(mutex_);
        ++count_;
        // g_object_finalize() frees it, the last step of all.
        g_object_set_data_full(G_OBJECT(pipeline), "live-pipelines", this, [](gpointer data) {
            auto *self = static_cast<LivePipelines *>(data);
            const std::lock_guard inner(self->mutex_);
            --self->count_;
            self->changed_.notify_all();
        });
    }
    // Waits until none is left. Messages that name a pipeline keep it.
    void settle()
    {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [this] { return count_ == 0; }))
            << "a pipeline is never freed";
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};
inline LivePipelines live_pipelines;

// A pipeline of a launch line.
class Pipeline {
public:
    explicit Pipeline(const std::string &launch)
    {
        live_pipelines.settle(); // what the one before held must not be found again
        GError *error = nullptr;
        pipeline_ = gst_parse_launch(launch.c_str(), &error);
        EXPECT_EQ(error, nullptr) << (error ? error->message : "");
        g_clear_error(&error);
        live_pipelines.add(pipeline_);
        bus_ = gst_element_get_bus(pipeline_);
    }
    ~Pipeline()
    {
        gst_element_set_state(pipeline_, GST_STATE_NULL);
        gst_object_unref(bus_);
        gst_object_unref(pipeline_);
    }
    Pipeline(const Pipeline &) = delete;
    Pipeline &operator=(const Pipeline &) = delete;

    GstElement *get() const { return pipeline_; }
    GstBus *bus() const { return bus_; }
    GstPtr<GstElement> element(const char *name)
    {
        return GstPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline_), name));
    }
    void state(GstState to)
    {
        gst_element_set_state(pipeline_, to);
        EXPECT_NE(gst_element_get_state(pipeline_, nullptr, nullptr, 20 * GST_SECOND), GST_STATE_CHANGE_ASYNC);
    }
    // Plays until EOS or an error; true for EOS. All messages up to there are added to `into`.
    bool run(Messages &into)
    {
        gst_element_set_state(pipeline_, GST_STATE_PLAYING);
        for (;;) {
            GstMessage *message = gst_bus_timed_pop(bus_, 30 * GST_SECOND);
            if (!message) {
                ADD_FAILURE() << "the pipeline hangs";
                return false;
            }
            into.all.push_back(GstPtr<GstMessage>::adopt(message));
            if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS || GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
                return GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
        }
    }

private:
    GstElement *pipeline_ = nullptr;
    GstBus *bus_ = nullptr;
};

// The same for a test that runs pipelines, which let go of their last frames on threads of their own.
class LineTest : public DeviceTest {
protected:
    void TearDown() override
    {
        live_pipelines.settle();
        DeviceTest::TearDown();
    }
};

} // namespace hltest
