// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthllifopool.h"

#include <deque>
#include <mutex>
#include <utility>

namespace {

struct State {
    std::mutex mutex;             // guards what follows
    std::deque<GstBuffer *> idle; // owned; taken from the back
    unsigned seekers = 0;         // threads in the base class's acquire_buffer(), which see its own queue only
};

} // namespace

struct GstHlLifoPoolPrivate {
    State *state;
};

G_DEFINE_TYPE_WITH_PRIVATE(GstHlLifoPool, gst_hl_lifo_pool, GST_TYPE_BUFFER_POOL)

static State &state_of(gpointer self)
{
    return *static_cast<GstHlLifoPoolPrivate *>(gst_hl_lifo_pool_get_instance_private(GST_HL_LIFO_POOL(self)))->state;
}

// A seeker counts from before it looks at the base class's queue, so whatever comes back from then on goes there.
static GstFlowReturn gst_hl_lifo_pool_acquire_buffer(GstBufferPool *pool, GstBuffer **buffer,
                                                     GstBufferPoolAcquireParams *params)
{
    if (GST_BUFFER_POOL_IS_FLUSHING(pool))
        return GST_FLOW_FLUSHING;
    State &state = state_of(pool);
    {
        const std::lock_guard lock(state.mutex);
        if (!state.idle.empty()) {
            *buffer = state.idle.back();
            state.idle.pop_back();
            return GST_FLOW_OK;
        }
        ++state.seekers;
    }
    const GstFlowReturn flow =
        GST_BUFFER_POOL_CLASS(gst_hl_lifo_pool_parent_class)->acquire_buffer(pool, buffer, params);
    const std::lock_guard lock(state.mutex);
    --state.seekers;
    return flow;
}

static void gst_hl_lifo_pool_release_buffer(GstBufferPool *pool, GstBuffer *buffer)
{
    State &state = state_of(pool);
    // A buffer whose memories somebody has changed or still holds is the base class's to discard.
    if (!GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_TAG_MEMORY) && gst_buffer_is_all_memory_writable(buffer)) {
        const std::lock_guard lock(state.mutex);
        if (state.seekers == 0) {
            state.idle.push_back(buffer);
            return;
        }
    }
    GST_BUFFER_POOL_CLASS(gst_hl_lifo_pool_parent_class)->release_buffer(pool, buffer);
}

// The base class counts the buffers it made and frees those in its own queue.
static gboolean gst_hl_lifo_pool_stop(GstBufferPool *pool)
{
    State &state = state_of(pool);
    auto *const parent = GST_BUFFER_POOL_CLASS(gst_hl_lifo_pool_parent_class);
    std::deque<GstBuffer *> idle;
    {
        const std::lock_guard lock(state.mutex);
        idle.swap(state.idle);
    }
    for (GstBuffer *const buffer : idle)
        parent->release_buffer(pool, buffer);
    return parent->stop(pool);
}

static void gst_hl_lifo_pool_finalize(GObject *object)
{
    State *const state = &state_of(object);
    G_OBJECT_CLASS(gst_hl_lifo_pool_parent_class)->finalize(object); // stops the pool
    delete state;
}

static void gst_hl_lifo_pool_class_init(GstHlLifoPoolClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = gst_hl_lifo_pool_finalize;
    GST_BUFFER_POOL_CLASS(klass)->acquire_buffer = gst_hl_lifo_pool_acquire_buffer;
    GST_BUFFER_POOL_CLASS(klass)->release_buffer = gst_hl_lifo_pool_release_buffer;
    GST_BUFFER_POOL_CLASS(klass)->stop = gst_hl_lifo_pool_stop;
}

static void gst_hl_lifo_pool_init(GstHlLifoPool *self)
{
    static_cast<GstHlLifoPoolPrivate *>(gst_hl_lifo_pool_get_instance_private(self))->state = new State;
}

GstBuffer *gst_hl_lifo_pool_exchange_for_oldest(GstHlLifoPool *self, GstBuffer *buffer)
{
    State &state = state_of(self);
    const std::lock_guard lock(state.mutex);
    state.idle.push_back(buffer);
    GstBuffer *const oldest = state.idle.front();
    state.idle.pop_front();
    return oldest;
}
