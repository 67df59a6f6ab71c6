// SPDX-License-Identifier: LGPL-2.1-or-later

/**
 * SECTION:element-hldownload
 * @title: hldownload
 * @short_description: brings video frames from Gaudi memory to host pages
 *
 * Frames leave in memory that any element can read and draw on: under system-memory caps where downstream takes them,
 * else as DMABuf of host pages.
 *
 * | frame that comes in       | what happens                                                | counted as |
 * |---------------------------|-------------------------------------------------------------|------------|
 * | in Gaudi memory           | one DMA to pinned host pages                                | download   |
 * | in host pages, or foreign | passes on; only the caps change                             | -          |
 * | the same, but downstream cannot take its strides, or wants a DMABuf | the CPU copies it | CPU copy   |
 *
 * v4l2sink and V4L2's encoders and converters with io-mode=dmabuf-import are such: they take any frame to have the rows
 * that the driver expects, and would show it skewed.
 *
 * With zero-copy=require the last is an error instead.
 *
 * The output comes from a pool of the element's own; a pool that downstream proposes is not used, because a DMA engine
 * reaches only pages that are pinned for it. Metas travel along. Of GStreamer 1.26's metas GstTensorMeta has no
 * transform function and stays behind when the frame moves: decode tensors before hldownload.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! hlupload device=sim ! hldownload ! videoconvert ! autovideosink
 * ]| On the simulator, anywhere.
 * |[
 * gst-launch-1.0 videotestsrc ! hlupload ! hlinfer model=builtin:demo ! hltensordec ! hldownload !
 * objectdetectionoverlay ! autovideosink
 * ]| Draws the detections on the frame.
 */

#include "gsthldownload.h"

#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "gsthldownstream.h"
#include "gsthlframe.h"
#include "gsthlplacement.h"
#include "gsthlptr.h"
#include "gsthlvideo.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/allocators/gstfdmemory.h>

#include <format>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace {

// What becomes of the frame at hand.
enum class Way : uint8_t { Pass, Download, Copy };

// Why a frame has to be copied by the CPU, and what would spare it.
struct CopyReason {
    const gchar *code;
    std::string cause;
    std::string remedy;
};

} // namespace

struct GstHlDownloadPrivate {
    std::mutex mutex;             // guards the pointer, for stats
    GstPtr<GstBufferPool> output; // host placement; null until negotiated

    // Streaming thread.
    bool strides_taken = false; // downstream reads GstVideoMeta
    bool dmabuf_out = false;    // the src caps have memory:DMABuf
    std::string importer;       // gst_hl_stride_blind_importer()
    std::string display;        // gst_hl_wayland_sink()
    Way way = Way::Pass;        // of the frame at hand
    hl::FrameLayout layout;     // where it lies, to be downloaded
};

struct _GstHlDownload {
    GstHlTransform parent;
    GstHlDownloadPrivate *priv;
};

GST_DEBUG_CATEGORY_STATIC(hl_download_debug);
#define GST_CAT_DEFAULT hl_download_debug

G_DEFINE_FINAL_TYPE_WITH_CODE(GstHlDownload, gst_hl_download, GST_TYPE_HL_TRANSFORM,
                              GST_DEBUG_CATEGORY_INIT(hl_download_debug, "hldownload", 0, "Frames out of Gaudi memory"))
GST_ELEMENT_REGISTER_DEFINE(hldownload, "hldownload", GST_RANK_NONE, GST_TYPE_HL_DOWNLOAD)

namespace {

void set_output(GstHlDownload *self, GstPtr<GstBufferPool> pool)
{
    const std::lock_guard lock(self->priv->mutex);
    std::swap(self->priv->output, pool);
}

GstPtr<GstBufferPool> get_output(GstHlDownload *self)
{
    const std::lock_guard lock(self->priv->mutex);
    return self->priv->output;
}

// Whether an element that knows nothing of GstVideoMeta would read this frame right, and as it is: of several memories
// a map of the whole makes one, by a copy that nobody counts.
bool default_layout(GstBuffer *buffer, const GstVideoInfo &info)
{
    const GstVideoMeta *meta = gst_buffer_get_video_meta(buffer);
    if (!meta)
        return true;
    if (gst_buffer_n_memory(buffer) > 1)
        return false;
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p)
        if (meta->offset[p] != GST_VIDEO_INFO_PLANE_OFFSET(&info, p) ||
            meta->stride[p] != GST_VIDEO_INFO_PLANE_STRIDE(&info, p))
            return false;
    return true;
}

bool all_dmabuf(GstBuffer *buffer)
{
    for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i)
        if (!gst_is_dmabuf_memory(gst_buffer_peek_memory(buffer, i)))
            return false;
    return gst_buffer_n_memory(buffer) > 0;
}

// A Gaudi frame that another device owns would go out as if the CPU could read it.
hl::Status check_owner(GstHlDownload *self, GstBuffer *buffer)
{
    const auto &device = gst_hl_transform_device(GST_HL_TRANSFORM(self));
    for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
        const auto owner = gst_hl_memory_device(gst_buffer_peek_memory(buffer, i));
        if (owner && owner != device)
            return hl::fail(hl::ErrorCode::MemoryForeign, "download frame",
                            std::format("the frame lies in memory of {}, this element uses {}", owner->info().name,
                                        device->info().name),
                            "set the same device= on all elements of the pipeline", 0, device->info().name);
    }
    return {};
}

// Empty if the frame, which lies outside Gaudi memory, may pass on.
std::optional<CopyReason> copy_reason(GstHlDownload *self, GstBuffer *buffer, const GstVideoInfo &info)
{
    const GstHlDownloadPrivate &priv = *self->priv;
    if ((priv.dmabuf_out || !priv.importer.empty()) && !all_dmabuf(buffer))
        return CopyReason{"dmabuf-wanted",
                          std::format("{} takes nothing but DMABuf, and the frame lies in other memory",
                                      priv.importer.empty() ? "downstream" : priv.importer),
                          priv.importer.empty() ? "let downstream take system memory"
                                                : "put hlupload at the head of the line"};
    if (priv.strides_taken || default_layout(buffer, info))
        return std::nullopt;
    const guint memories = gst_buffer_n_memory(buffer);
    if (!priv.display.empty()) {
        // Anything but one descriptor goes to the compositor as what it is, or in waylandsink's own copy.
        if (memories > 1 || !gst_is_fd_memory(gst_buffer_peek_memory(buffer, 0)))
            return std::nullopt;
        return CopyReason{
            "strides-ignored",
            std::format("{} may hand a frame to its compositor as shared memory, without a look at its "
                        "strides, and the frame has padded rows, which would be taken for a skewed picture",
                        priv.display),
            "let the producer fill frames without padding, as it does in the pool that hlupload offers"};
    }
    if (memories > 1)
        return CopyReason{
            "planes-apart",
            std::format("{} takes a frame in one memory, and this one lies in {}",
                        priv.importer.empty() ? "downstream does not read GstVideoMeta and" : priv.importer, memories),
            "let the producer fill frames of one memory (planes=single)"};
    if (!priv.importer.empty())
        return CopyReason{
            "strides-ignored",
            std::format("{} imports dma-bufs without a look at their strides, and the frame has padded rows, which it "
                        "would take for a skewed picture",
                        priv.importer),
            "let the producer fill frames without padding, as it does in the pool that hlupload offers"};
    return CopyReason{
        "strides-refused", "downstream does not read GstVideoMeta, and the frame has padded rows",
        "put an element that reads it (videoconvert does) behind hldownload, or use a width of whole 64 pixels"};
}

hl::Error copy_refused(GstHlDownload *self, const CopyReason &copy)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    return {.code = hl::ErrorCode::CopyRefused,
            .operation = "download frame",
            .device = gst_hl_transform_device(base)->info().name,
            .cause = std::format("{}: {} bytes a frame would have to be copied by the CPU (zero-copy=require)",
                                 copy.cause, gst_hl_transform_format(base).bytes),
            .remedy = std::format("{}, or set zero-copy=auto", copy.remedy)};
}

void report_placement(GstHlDownload *self, const gchar *placement, const gchar *reason,
                      const std::optional<CopyReason> &copy)
{
    const uint64_t bytes = gst_hl_transform_format(GST_HL_TRANSFORM(self)).bytes;
    GstHlPlacementReport report{.placement = placement, .reason = reason, .bytes_per_frame = bytes};
    switch (self->priv->way) {
    case Way::Pass:
        break;
    case Way::Download:
        report.cost = std::format("1 download of {} bytes a frame", bytes);
        break;
    case Way::Copy:
        report.cost = std::format("1 CPU copy of {} bytes a frame", bytes);
        report.copies = true;
        report.suggestion = std::format("{}: {}", copy->cause, copy->remedy);
        break;
    }
    gst_hl_post_placement(GST_ELEMENT(self), report);
}

// Sets priv->way and priv->layout, and says so the first time.
hl::Status classify(GstHlDownload *self, GstBuffer *buffer)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    GstHlDownloadPrivate &priv = *self->priv;
    const GstHlTransformFormat &format = gst_hl_transform_format(base);
    if (auto owned = check_owner(self, buffer); !owned)
        return owned;
    auto layout = gst_hl_buffer_layout(buffer, format.in, *gst_hl_transform_device(base));
    if (!layout)
        return std::unexpected(std::move(layout.error()));
    const gchar *placement = "system";
    const gchar *reason = "foreign-memory";
    if (*layout) {
        priv.layout = **layout;
        placement = priv.layout.placement() == hl::Placement::Device ? "device" : "host";
        reason = "own-memory";
    }
    priv.way = Way::Pass;
    std::optional<CopyReason> copy;
    if (*layout && priv.layout.placement() == hl::Placement::Device) {
        priv.way = Way::Download;
    } else if ((copy = copy_reason(self, buffer, format.out))) {
        if (gst_hl_transform_copies_refused(base))
            return std::unexpected(copy_refused(self, *copy));
        priv.way = Way::Copy;
        reason = copy->code;
    }
    if (gst_hl_transform_saw_frame(base, placement, reason))
        report_placement(self, placement, reason, copy);
    return {};
}

hl::Status fill(GstHlDownload *self, GstBuffer *in, GstBuffer *out)
{
    GstHlTransform *base = GST_HL_TRANSFORM(self);
    const GstHlTransformFormat &format = gst_hl_transform_format(base);
    const auto &device = gst_hl_transform_device(base);
    auto target = gst_hl_buffer_layout(out, format.out, *device);
    if (!target)
        return std::unexpected(std::move(target.error()));
    if (!*target)
        return hl::fail(hl::ErrorCode::Internal, "download frame", "the output frame is not the device's");
    if (self->priv->way == Way::Download)
        return gst_hl_transform_move(base, hl::CopyKind::Download,
                                     [&] { return gst_hl_frame_transfer(*device, self->priv->layout, **target); });
    auto mapped = GstHlMappedFrame::map(in, format.in);
    if (!mapped)
        return std::unexpected(std::move(mapped.error()));
    return gst_hl_transform_move(base, hl::CopyKind::CpuCopy,
                                 [&] { return gst_hl_frame_write(*device, mapped->view(), **target); });
}

} // namespace

static GstCaps *gst_hl_download_transform_caps(GstBaseTransform *, GstPadDirection direction, GstCaps *caps,
                                               GstCaps *filter)
{
    GstCaps *first = direction == GST_PAD_SINK ? gst_hl_caps_to_system(caps) : gst_hl_caps_to_dmabuf(caps);
    GstCaps *second = direction == GST_PAD_SINK ? gst_hl_caps_to_dmabuf(caps) : gst_hl_caps_to_system(caps);
    gst_caps_append(first, second);
    if (!filter)
        return first;
    GstCaps *filtered = gst_caps_intersect_full(filter, first, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref(first);
    return filtered;
}

// System memory wins wherever downstream takes it, whatever it would like better: host pages need no DMABuf caps, and
// fewer elements understand those.
static GstCaps *gst_hl_download_fixate_caps(GstBaseTransform *trans, GstPadDirection direction, GstCaps *caps,
                                            GstCaps *other)
{
    if (direction == GST_PAD_SINK) {
        GstCaps *system = gst_caps_new_empty();
        for (guint i = 0; i < gst_caps_get_size(other); ++i)
            if (!gst_caps_features_contains(gst_caps_get_features(other, i), GST_CAPS_FEATURE_MEMORY_DMABUF))
                gst_caps_append_structure(system, gst_structure_copy(gst_caps_get_structure(other, i)));
        if (!gst_caps_is_empty(system)) {
            gst_caps_unref(other);
            other = system;
        } else {
            gst_caps_unref(system);
        }
    }
    return GST_BASE_TRANSFORM_CLASS(gst_hl_download_parent_class)->fixate_caps(trans, direction, caps, other);
}

static gboolean gst_hl_download_set_caps(GstBaseTransform *trans, GstCaps *in, GstCaps *out)
{
    GST_HL_DOWNLOAD(trans)->priv->dmabuf_out = gst_hl_caps_are_dmabuf(out);
    return GST_BASE_TRANSFORM_CLASS(gst_hl_download_parent_class)->set_caps(trans, in, out);
}

static gboolean gst_hl_download_propose_allocation(GstBaseTransform *, GstQuery *, GstQuery *query)
{
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    return TRUE;
}

static gboolean gst_hl_download_decide_allocation(GstBaseTransform *trans, GstQuery *query)
{
    GstHlDownload *self = GST_HL_DOWNLOAD(trans);
    GstHlTransform *base = GST_HL_TRANSFORM(trans);
    GstCaps *caps = nullptr;
    gst_query_parse_allocation(query, &caps, nullptr);
    self->priv->importer = gst_hl_stride_blind_importer(GST_BASE_TRANSFORM_SRC_PAD(trans));
    self->priv->display = gst_hl_wayland_sink(GST_BASE_TRANSFORM_SRC_PAD(trans));
    self->priv->strides_taken = self->priv->importer.empty() && self->priv->display.empty() &&
                                gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    // No frames ahead of need: where all frames pass on, the pool stays empty.
    auto pool = gst_hl_buffer_pool_new(gst_hl_transform_device(base), hl::Placement::Host);
    gst_hl_allocator_set_owner(gst_hl_buffer_pool_allocator(GST_HL_BUFFER_POOL(pool.get())), GST_ELEMENT(self));
    if (auto ready = gst_hl_buffer_pool_setup(pool.get(), caps, 0, 0, 0, true); !ready) {
        (void)gst_hl_transform_fail(base, ready.error());
        return FALSE;
    }
    GstVideoInfo info;
    (void)gst_hl_video_info_from_caps(caps, &info);
    gst_hl_transform_set_query_pool(query, pool.get(), static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)), 0);
    set_output(self, std::move(pool));
    return TRUE;
}

static GstFlowReturn gst_hl_download_prepare_output_buffer(GstBaseTransform *trans, GstBuffer *in, GstBuffer **out)
{
    GstHlDownload *self = GST_HL_DOWNLOAD(trans);
    GstHlTransform *base = GST_HL_TRANSFORM(trans);
    if (auto known = classify(self, in); !known)
        return gst_hl_transform_fail(base, known.error());
    if (self->priv->way == Way::Pass) {
        *out = in;
        return GST_FLOW_OK;
    }
    const auto pool = get_output(self);
    const GstFlowReturn flow = gst_hl_transform_acquire(base, pool.get(), out);
    if (flow == GST_FLOW_OK)
        gst_hl_buffer_copy_metadata(in, *out);
    return flow;
}

static GstFlowReturn gst_hl_download_transform(GstBaseTransform *trans, GstBuffer *in, GstBuffer *out)
{
    if (in == out)
        return GST_FLOW_OK;
    if (auto done = fill(GST_HL_DOWNLOAD(trans), in, out); !done)
        return gst_hl_transform_fail(GST_HL_TRANSFORM(trans), done.error());
    return GST_FLOW_OK;
}

static gboolean gst_hl_download_stop(GstBaseTransform *trans)
{
    GstHlDownload *self = GST_HL_DOWNLOAD(trans);
    if (const auto pool = get_output(self))
        (void)gst_buffer_pool_set_active(pool.get(), FALSE);
    set_output(self, {});
    return TRUE;
}

static void gst_hl_download_finalize(GObject *object)
{
    delete GST_HL_DOWNLOAD(object)->priv;
    G_OBJECT_CLASS(gst_hl_download_parent_class)->finalize(object);
}

static void gst_hl_download_class_init(GstHlDownloadClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = gst_hl_download_finalize;

    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    gst_element_class_set_static_metadata(element_class, "Gaudi downloader", "Filter/Converter/Video/Hardware",
                                          "Brings video frames from Intel Gaudi memory to host pages by DMA",
                                          "gst-habana");
    gst_hl_transform_add_template(element_class, "sink", GST_PAD_SINK, gst_hl_video_caps());
    gst_hl_transform_add_template(element_class, "src", GST_PAD_SRC, gst_hl_video_caps());

    GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS(klass);
    trans_class->transform_caps = gst_hl_download_transform_caps;
    trans_class->fixate_caps = gst_hl_download_fixate_caps;
    trans_class->set_caps = gst_hl_download_set_caps;
    trans_class->propose_allocation = gst_hl_download_propose_allocation;
    trans_class->decide_allocation = gst_hl_download_decide_allocation;
    trans_class->prepare_output_buffer = gst_hl_download_prepare_output_buffer;
    trans_class->transform = gst_hl_download_transform;
    trans_class->stop = gst_hl_download_stop;
}

static void gst_hl_download_init(GstHlDownload *self)
{
    self->priv = new GstHlDownloadPrivate;
}
