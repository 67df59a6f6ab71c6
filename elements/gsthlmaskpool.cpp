// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlmaskpool.h"

#include <gst/video/video.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace {

// A small object is often followed by a larger one.
constexpr gsize least_bytes = 1024;

// Where it cannot be made, none.
GstPtr<GstBufferPool> active_pool(gsize bytes)
{
    auto pool = GstPtr<GstBufferPool>::adopt(gst_buffer_pool_new());
    GstStructure *config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, nullptr, static_cast<guint>(bytes), 0, 0);
    if (!gst_buffer_pool_set_config(pool.get(), config) || !gst_buffer_pool_set_active(pool.get(), TRUE))
        return {};
    return pool;
}

// The meta stays with the picture from one use to the next.
void describe(GstBuffer *picture, uint32_t width, uint32_t height)
{
    GstVideoMeta *meta = gst_buffer_get_video_meta(picture);
    if (!meta) {
        const std::array<gsize, GST_VIDEO_MAX_PLANES> offsets{};
        const std::array<gint, GST_VIDEO_MAX_PLANES> strides{};
        meta = gst_buffer_add_video_meta_full(picture, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, width, height,
                                              1, offsets.data(), strides.data());
        meta->meta.flags = static_cast<GstMetaFlags>(meta->meta.flags | GST_META_FLAG_POOLED);
    }
    meta->width = width;
    meta->height = height;
    meta->stride[0] = static_cast<gint>(width);
}

} // namespace

GstHlMaskPool &GstHlMaskPool::operator=(GstHlMaskPool &&other) noexcept
{
    if (this != &other) {
        close();
        pool_ = std::move(other.pool_);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

GstHlMaskPool::~GstHlMaskPool()
{
    close();
}

// What is out is freed as it comes back.
void GstHlMaskPool::close() noexcept
{
    if (pool_)
        (void)gst_buffer_pool_set_active(pool_.get(), FALSE);
    pool_.reset();
    bytes_ = 0;
}

GstPtr<GstBuffer> GstHlMaskPool::acquire(gsize bytes)
{
    if (bytes > bytes_) {
        close();
        bytes_ = std::bit_ceil(std::max(bytes, least_bytes));
        pool_ = active_pool(bytes_);
    }
    GstBuffer *picture = nullptr;
    if (pool_ && gst_buffer_pool_acquire_buffer(pool_.get(), &picture, nullptr) == GST_FLOW_OK)
        return GstPtr<GstBuffer>::adopt(picture);
    return GstPtr<GstBuffer>::adopt(gst_buffer_new_allocate(nullptr, bytes, nullptr));
}

GstPtr<GstBuffer> GstHlMaskPool::take(uint32_t width, uint32_t height)
{
    const gsize bytes = gsize{width} * height;
    auto picture = acquire(bytes);
    // The pool gives it its full size back (gstbufferpool.c default_reset_buffer()).
    gst_buffer_set_size(picture.get(), static_cast<gssize>(bytes));
    describe(picture.get(), width, height);
    return picture;
}
