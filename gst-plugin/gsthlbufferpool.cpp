// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlbufferpool.h"

#include "gsthlcaps.h"

#include <algorithm>
#include <format>
#include <mutex>
#include <utility>
#include <vector>

struct GstHlBufferPoolPrivate {
    GstPtr<GstHlAllocator> allocator;
    bool shared = false; // with other pools
    GstHlPlanes planes = GST_HL_PLANES_SINGLE;

    // Set by set_config, which GstBufferPool calls only while the pool is inactive; read by alloc_buffer.
    GstVideoInfo info{};
    GstVideoAlignment alignment{};
    bool aligned = false;
    std::vector<gsize> sizes; // of the memories
    GstHlLayoutKey layout;

    std::mutex mutex; // guards error
    std::optional<hl::Error> error;

    GWeakRef owner; // of an offered pool
    GstHlPoolErrorHandler handler = nullptr;
    std::function<hl::Status()> start_check;
};

struct _GstHlBufferPool {
    GstHlLifoPool parent;
    GstHlBufferPoolPrivate *priv;
};

GST_DEBUG_CATEGORY_STATIC(hl_pool_debug);
#define GST_CAT_DEFAULT hl_pool_debug

G_DEFINE_FINAL_TYPE_WITH_CODE(GstHlBufferPool, gst_hl_buffer_pool, GST_TYPE_HL_LIFO_POOL,
                              GST_DEBUG_CATEGORY_INIT(hl_pool_debug, "hlpool", 0, "Pools of frames in Gaudi memory"))

namespace {

// Memories start on a page, whatever is asked below that.
constexpr gsize page_mask = 4095;

void keep_error(GstHlBufferPool *self, hl::Error error)
{
    GST_WARNING_OBJECT(self, "%s", error.details().c_str());
    const std::lock_guard lock(self->priv->mutex);
    self->priv->error = std::move(error);
}

// Applies the padding and strides a user of the option VIDEO_ALIGNMENT wants, as GstVideoBufferPool does it, so that
// libav finds the strides it computed by itself; false if they cannot be had.
bool apply_alignment(GstStructure *config, GstAllocationParams &params, GstVideoInfo &info,
                     GstVideoAlignment &alignment)
{
    gst_buffer_pool_config_get_video_alignment(config, &alignment);
    guint mask = static_cast<guint>(params.align);
    for (const guint align : alignment.stride_align)
        mask |= align;
    std::ranges::fill(alignment.stride_align, mask);
    if (!gst_video_info_align(&info, &alignment))
        return false;
    gst_buffer_pool_config_set_video_alignment(config, &alignment);
    params.align = mask;
    return true;
}

struct Layout {
    GstVideoInfo info{};
    GstVideoAlignment alignment{};
    bool aligned = false;
    gsize size = 0;
};

GstHlLayoutKey key_of(const Layout &layout)
{
    const GstVideoInfo &info = layout.info;
    GstHlLayoutKey key{layout.size, gsize{GST_VIDEO_INFO_FORMAT(&info)},
                       static_cast<gsize>(GST_VIDEO_INFO_WIDTH(&info)),
                       static_cast<gsize>(GST_VIDEO_INFO_HEIGHT(&info))};
    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
        key.push_back(GST_VIDEO_INFO_PLANE_OFFSET(&info, p));
        key.push_back(static_cast<gsize>(GST_VIDEO_INFO_PLANE_STRIDE(&info, p)));
    }
    return key;
}

// What each memory of a frame holds: everything, or from one plane's start to the next. What is wanted beyond the frame
// comes last. Empty where a plane does not begin at its first byte.
std::vector<gsize> memory_sizes(const Layout &layout, GstHlPlanes planes)
{
    if (planes == GST_HL_PLANES_SINGLE)
        return {layout.size};
    if (layout.alignment.padding_top > 0 || layout.alignment.padding_left > 0)
        return {};
    std::vector<gsize> out;
    gsize end = layout.size;
    for (guint p = GST_VIDEO_INFO_N_PLANES(&layout.info); p-- > 0; end = GST_VIDEO_INFO_PLANE_OFFSET(&layout.info, p))
        out.insert(out.begin(), end - GST_VIDEO_INFO_PLANE_OFFSET(&layout.info, p));
    return out;
}

} // namespace

static const gchar **gst_hl_buffer_pool_get_options(GstBufferPool *)
{
    static const gchar *options[] = {GST_BUFFER_POOL_OPTION_VIDEO_META, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT,
                                     nullptr};
    return options;
}

static gboolean gst_hl_buffer_pool_set_config(GstBufferPool *pool, GstStructure *config)
{
    GstHlBufferPool *self = GST_HL_BUFFER_POOL(pool);
    GstCaps *caps = nullptr;
    guint size = 0, min = 0, max = 0;
    Layout layout;
    if (!gst_buffer_pool_config_get_params(config, &caps, &size, &min, &max) ||
        !gst_hl_video_info_from_caps(caps, &layout.info)) {
        GST_WARNING_OBJECT(self, "caps %" GST_PTR_FORMAT " are not taken", caps);
        return FALSE;
    }
    GstAllocationParams params;
    gst_allocation_params_init(&params);
    (void)gst_buffer_pool_config_get_allocator(config, nullptr, &params);
    params.prefix = 0; // a dma-buf's content starts at byte 0
    if (gst_buffer_pool_config_has_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT)) {
        if (!apply_alignment(config, params, layout.info, layout.alignment)) {
            GST_WARNING_OBJECT(self, "the wanted video alignment cannot be had");
            return FALSE;
        }
        layout.aligned = true;
    }
    if (params.align > page_mask) {
        GST_WARNING_OBJECT(self, "alignment to %" G_GSIZE_FORMAT " bytes cannot be had", params.align + 1);
        return FALSE;
    }
    // Larger is taken as it is: the driver of a capture device may want more than the frame.
    layout.size = std::max<gsize>(size, GST_VIDEO_INFO_SIZE(&layout.info));
    std::vector<gsize> sizes = memory_sizes(layout, self->priv->planes);
    if (sizes.empty()) {
        GST_WARNING_OBJECT(self, "padding above or left of the picture cannot be had with a memory for each plane");
        return FALSE;
    }
    gst_buffer_pool_config_set_params(config, caps, static_cast<guint>(layout.size), min, max);
    // Whatever allocator the configuring element names, memory comes from ours.
    gst_buffer_pool_config_set_allocator(config, GST_ALLOCATOR(self->priv->allocator.get()), &params);

    self->priv->layout = key_of(layout);
    self->priv->info = layout.info;
    self->priv->alignment = layout.alignment;
    self->priv->aligned = layout.aligned;
    self->priv->sizes = std::move(sizes);
    return GST_BUFFER_POOL_CLASS(gst_hl_buffer_pool_parent_class)->set_config(pool, config);
}

static GstFlowReturn gst_hl_buffer_pool_alloc_buffer(GstBufferPool *pool, GstBuffer **buffer,
                                                     GstBufferPoolAcquireParams *)
{
    GstHlBufferPool *self = GST_HL_BUFFER_POOL(pool);
    const GstHlBufferPoolPrivate &priv = *self->priv;
    auto frame = GstPtr<GstBuffer>::adopt(gst_buffer_new());
    for (const gsize size : priv.sizes) {
        auto memory = gst_hl_allocator_alloc_memory(priv.allocator.get(), size, &priv.layout);
        if (!memory) {
            keep_error(self, std::move(memory.error()));
            return GST_FLOW_ERROR;
        }
        // An importer caches a frame by its first memory (kmssink's framebuffers), which so must not meet other planes.
        if (priv.sizes.size() > 1)
            gst_hl_memory_forbid_recycling(memory->get());
        gst_buffer_append_memory(frame.get(), memory->release());
    }
    GstBuffer *const out = frame.get();
    const GstVideoInfo &info = priv.info;
    // Metas added here are marked POOLED by GstBufferPool and survive reset_buffer; added later they would be gone
    // after the first round.
    GstVideoMeta *meta = gst_buffer_add_video_meta_full(
        out, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info), static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)),
        static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)), GST_VIDEO_INFO_N_PLANES(&info), info.offset, info.stride);
    if (priv.aligned)
        (void)gst_video_meta_set_alignment(meta, priv.alignment);
    *buffer = frame.release();
    return GST_FLOW_OK;
}

// Whether every memory of a pooled buffer may be written again: no reader left, not from before a loss.
static hl::Status make_reusable(GstBuffer *buffer, GstHlReaders readers)
{
    for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i)
        if (auto done = gst_hl_memory_make_reusable(gst_buffer_peek_memory(buffer, i), readers); !done)
            return done;
    return {};
}

// The frame that came back last is the warm one, but a display or encoder may still read it behind a fence. Then the
// one that came back first is the likeliest to be free, and the one to wait for.
static bool settle(GstHlBufferPool *self, GstBuffer *&buffer)
{
    auto done = make_reusable(buffer, GstHlReaders::Ask);
    if (!done && done.error().code == hl::ErrorCode::FenceTimeout) {
        buffer = gst_hl_lifo_pool_exchange_for_oldest(GST_HL_LIFO_POOL(self), buffer);
        done = make_reusable(buffer, GstHlReaders::Wait);
    }
    if (done)
        return true;
    GST_WARNING_OBJECT(self, "a frame is dropped from the pool: %s", done.error().details().c_str());
    // After a loss that is nobody's news.
    if (done.error().code == hl::ErrorCode::FenceTimeout || done.error().code == hl::ErrorCode::FdLimit) {
        done.error().cause += "; another frame takes its place";
        gst_hl_allocator_warn(self->priv->allocator.get(), done.error());
    }
    return false;
}

// Tells the owner of an offered pool of the allocation that failed last. FALSE if there is none to tell.
static bool tell_owner(GstHlBufferPool *self)
{
    if (!self->priv->handler)
        return false;
    const auto owner = GstPtr<GstElement>::adopt(GST_ELEMENT_CAST(g_weak_ref_get(&self->priv->owner)));
    auto error = gst_hl_buffer_pool_take_error(self);
    if (!owner || !error)
        return false;
    self->priv->handler(owner.get(), *error);
    return true;
}

static GstFlowReturn gst_hl_buffer_pool_acquire_buffer(GstBufferPool *pool, GstBuffer **buffer,
                                                       GstBufferPoolAcquireParams *params)
{
    GstBufferPoolClass *klass = GST_BUFFER_POOL_CLASS(gst_hl_buffer_pool_parent_class);
    for (;;) {
        const GstFlowReturn flow = klass->acquire_buffer(pool, buffer, params);
        if (flow == GST_FLOW_ERROR && tell_owner(GST_HL_BUFFER_POOL(pool)))
            return GST_FLOW_FLUSHING;
        if (flow != GST_FLOW_OK || settle(GST_HL_BUFFER_POOL(pool), *buffer))
            return flow;
        // default_release_buffer() frees a buffer with this flag instead of queueing it. Ends: a fresh memory is always
        // reusable.
        GST_BUFFER_FLAG_SET(*buffer, GST_BUFFER_FLAG_TAG_MEMORY);
        klass->release_buffer(pool, std::exchange(*buffer, nullptr));
    }
}

// An offered pool starts also where its first frames cannot be had: its owner has told why and takes no frame any more.
static gboolean gst_hl_buffer_pool_start(GstBufferPool *pool)
{
    GstHlBufferPool *self = GST_HL_BUFFER_POOL(pool);
    if (self->priv->start_check)
        if (auto fits = self->priv->start_check(); !fits) {
            keep_error(self, std::move(fits.error()));
            (void)tell_owner(self);
        }
    if (GST_BUFFER_POOL_CLASS(gst_hl_buffer_pool_parent_class)->start(pool))
        return TRUE;
    // GstBufferPool 1.26 keeps, and in the end leaks, the frames it had allocated before the failure.
    (void)GST_BUFFER_POOL_GET_CLASS(pool)->stop(pool);
    return tell_owner(self);
}

static gboolean gst_hl_buffer_pool_stop(GstBufferPool *pool)
{
    const gboolean stopped = GST_BUFFER_POOL_CLASS(gst_hl_buffer_pool_parent_class)->stop(pool);
    const GstHlBufferPoolPrivate &priv = *GST_HL_BUFFER_POOL(pool)->priv;
    if (!priv.shared)
        gst_hl_allocator_drop_recycled(priv.allocator.get());
    return stopped;
}

static void gst_hl_buffer_pool_finalize(GObject *object)
{
    // The parent's finalize frees the buffers, whose memories hold the allocator themselves.
    GstHlBufferPoolPrivate *priv = GST_HL_BUFFER_POOL(object)->priv;
    G_OBJECT_CLASS(gst_hl_buffer_pool_parent_class)->finalize(object);
    g_weak_ref_clear(&priv->owner);
    delete priv;
}

static void gst_hl_buffer_pool_class_init(GstHlBufferPoolClass *klass)
{
    GstBufferPoolClass *pool_class = GST_BUFFER_POOL_CLASS(klass);
    G_OBJECT_CLASS(klass)->finalize = gst_hl_buffer_pool_finalize;
    pool_class->get_options = gst_hl_buffer_pool_get_options;
    pool_class->set_config = gst_hl_buffer_pool_set_config;
    pool_class->alloc_buffer = gst_hl_buffer_pool_alloc_buffer;
    pool_class->acquire_buffer = gst_hl_buffer_pool_acquire_buffer;
    pool_class->start = gst_hl_buffer_pool_start;
    pool_class->stop = gst_hl_buffer_pool_stop;
}

static void gst_hl_buffer_pool_init(GstHlBufferPool *self)
{
    self->priv = new GstHlBufferPoolPrivate;
    g_weak_ref_init(&self->priv->owner, nullptr);
    gst_video_info_init(&self->priv->info);
    gst_video_alignment_reset(&self->priv->alignment);
}

GstPtr<GstBufferPool> gst_hl_buffer_pool_new(std::shared_ptr<hl::Device> device, hl::Placement placement,
                                             GstHlPlanes planes)
{
    auto self = gst_hl_buffer_pool_new_shared(gst_hl_allocator_new(std::move(device), placement), planes);
    GST_HL_BUFFER_POOL(self.get())->priv->shared = false;
    return self;
}

GstPtr<GstBufferPool> gst_hl_buffer_pool_new_shared(GstPtr<GstHlAllocator> allocator, GstHlPlanes planes)
{
    auto self = GstPtr<GstBufferPool>::sink(GST_BUFFER_POOL(g_object_new(GST_TYPE_HL_BUFFER_POOL, nullptr)));
    GstHlBufferPoolPrivate &priv = *GST_HL_BUFFER_POOL(self.get())->priv;
    priv.allocator = std::move(allocator);
    priv.shared = true;
    priv.planes = planes;
    return self;
}

GstHlAllocator *gst_hl_buffer_pool_allocator(GstHlBufferPool *self)
{
    return self->priv->allocator.get();
}

void gst_hl_buffer_pool_set_error_handler(GstHlBufferPool *self, GstElement *owner, GstHlPoolErrorHandler handler)
{
    g_weak_ref_set(&self->priv->owner, owner);
    self->priv->handler = handler;
}

void gst_hl_buffer_pool_set_start_check(GstHlBufferPool *self, std::function<hl::Status()> check)
{
    self->priv->start_check = std::move(check);
}

std::optional<hl::Error> gst_hl_buffer_pool_take_error(GstHlBufferPool *self)
{
    const std::lock_guard lock(self->priv->mutex);
    return std::exchange(self->priv->error, std::nullopt);
}

void gst_hl_buffer_pool_retire(GstBufferPool *pool)
{
    (void)gst_buffer_pool_set_active(pool, FALSE);
    // Nobody takes frames from a flushing pool. The last frame to come back calls stop() again (gstbufferpool.c
    // do_stop), for itself.
    (void)GST_BUFFER_POOL_GET_CLASS(pool)->stop(pool);
}

hl::Status gst_hl_buffer_pool_setup(GstBufferPool *pool, GstCaps *caps, guint size, guint min, guint max, bool activate)
{
    GstHlBufferPool *self = GST_HL_BUFFER_POOL(pool);
    const auto failed = [&](const char *operation, std::string cause) -> hl::Status {
        if (auto error = gst_hl_buffer_pool_take_error(self))
            return std::unexpected(std::move(*error));
        return hl::fail(hl::ErrorCode::FormatUnsupported, operation, std::move(cause));
    };
    GstStructure *config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, size, min, max);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    if (!gst_buffer_pool_set_config(pool, config)) { // takes config over
        const GCharPtr text(gst_caps_to_string(caps));
        return failed("configure pool", std::format("a pool cannot hold frames of {}", text.get()));
    }
    if (activate && !gst_buffer_pool_set_active(pool, TRUE))
        return failed("activate pool", "the pool could not allocate its first frames");
    return {};
}
