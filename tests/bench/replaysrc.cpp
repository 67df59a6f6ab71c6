// SPDX-License-Identifier: LGPL-2.1-or-later
#include "replaysrc.h"

#include "gsthlcaps.h"

#include <gst/video/video.h>

#include <cstdint>

struct _HlReplaySrc {
    GstPushSrc parent;
    GstCaps *caps;
    guint64 pushed;
    guint frames; // different ones
    guint32 noise;
    GstClockTime frame_duration;
};

G_DEFINE_FINAL_TYPE(HlReplaySrc, hl_replay_src, GST_TYPE_PUSH_SRC)

namespace {

enum { PROP_0, PROP_CAPS, PROP_FRAMES };

GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

// Marks a memory as filled, so that recycled ones are not filled again.
GQuark filled_quark()
{
    return g_quark_from_static_string("hl-replay-filled");
}

GstCaps *replay_get_caps(GstBaseSrc *base, GstCaps *filter)
{
    auto *self = HL_REPLAY_SRC(base);
    if (!self->caps)
        return gst_caps_new_any();
    return filter ? gst_caps_intersect_full(filter, self->caps, GST_CAPS_INTERSECT_FIRST) : gst_caps_ref(self->caps);
}

gboolean replay_set_caps(GstBaseSrc *base, GstCaps *caps)
{
    auto *self = HL_REPLAY_SRC(base);
    GstVideoInfo info;
    if (!gst_hl_video_info_from_caps(caps, &info))
        return FALSE;
    self->frame_duration =
        info.fps_n > 0 ? gst_util_uint64_scale_int(GST_SECOND, info.fps_d, info.fps_n) : GST_CLOCK_TIME_NONE;
    gst_base_src_set_blocksize(base, static_cast<guint>(info.size));
    return TRUE;
}

void fill_once(HlReplaySrc *self, GstBuffer *buffer)
{
    GstMemory *memory = gst_buffer_peek_memory(buffer, 0);
    if (gst_mini_object_get_qdata(GST_MINI_OBJECT_CAST(memory), filled_quark()))
        return;
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE))
        g_error("replaysrc: a buffer of the negotiated pool cannot be mapped");
    for (gsize i = 0; i < map.size; ++i) {
        self->noise = self->noise * 1664525u + 1013904223u;
        map.data[i] = static_cast<guint8>(self->noise >> 24);
    }
    gst_buffer_unmap(buffer, &map);
    ++self->frames;
    gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(memory), filled_quark(), GINT_TO_POINTER(1), nullptr);
}

GstFlowReturn replay_create(GstPushSrc *push, GstBuffer **out)
{
    auto *self = HL_REPLAY_SRC(push);
    GstBufferPool *pool = gst_base_src_get_buffer_pool(GST_BASE_SRC(push));
    if (!pool)
        g_error("replaysrc: no pool was negotiated");
    const GstFlowReturn flow = gst_buffer_pool_acquire_buffer(pool, out, nullptr);
    gst_object_unref(pool);
    if (flow != GST_FLOW_OK)
        return flow;
    fill_once(self, *out);
    if (GST_CLOCK_TIME_IS_VALID(self->frame_duration)) {
        GST_BUFFER_PTS(*out) = self->pushed * self->frame_duration;
        GST_BUFFER_DURATION(*out) = self->frame_duration;
    }
    ++self->pushed;
    return GST_FLOW_OK;
}

// Without a downstream pool, a plain video pool: a raw GstBufferPool would leave the frames without their video meta.
gboolean replay_decide_allocation(GstBaseSrc *, GstQuery *query)
{
    GstCaps *caps = nullptr;
    gst_query_parse_allocation(query, &caps, nullptr);
    GstVideoInfo info;
    if (!gst_hl_video_info_from_caps(caps, &info))
        return FALSE;
    GstBufferPool *pool = nullptr;
    guint size = 0, min = 0, max = 0;
    if (gst_query_get_n_allocation_pools(query) > 0)
        gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &min, &max);
    const bool ours = pool == nullptr;
    if (ours)
        pool = gst_video_buffer_pool_new();
    size = MAX(size, static_cast<guint>(info.size));
    GstStructure *config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, size, MAX(min, 8u), max);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    const gboolean ok = gst_buffer_pool_set_config(pool, config);
    if (gst_query_get_n_allocation_pools(query) > 0)
        gst_query_set_nth_allocation_pool(query, 0, pool, size, MAX(min, 8u), max);
    else
        gst_query_add_allocation_pool(query, pool, size, MAX(min, 8u), max);
    gst_object_unref(pool);
    return ok;
}

gboolean replay_start(GstBaseSrc *base)
{
    auto *self = HL_REPLAY_SRC(base);
    self->pushed = self->frames = 0;
    self->noise = 1;
    return TRUE;
}

void replay_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    if (id == PROP_CAPS)
        gst_caps_replace(&HL_REPLAY_SRC(object)->caps, const_cast<GstCaps *>(gst_value_get_caps(value)));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

void replay_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    if (id == PROP_FRAMES)
        g_value_set_uint(value, HL_REPLAY_SRC(object)->frames);
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

void replay_finalize(GObject *object)
{
    gst_caps_replace(&HL_REPLAY_SRC(object)->caps, nullptr);
    G_OBJECT_CLASS(hl_replay_src_parent_class)->finalize(object);
}

} // namespace

static void hl_replay_src_class_init(HlReplaySrcClass *klass)
{
    auto *object_class = G_OBJECT_CLASS(klass);
    auto *element_class = GST_ELEMENT_CLASS(klass);
    auto *base_class = GST_BASE_SRC_CLASS(klass);
    object_class->set_property = replay_set_property;
    object_class->get_property = replay_get_property;
    object_class->finalize = replay_finalize;
    g_object_class_install_property(
        object_class, PROP_CAPS,
        g_param_spec_boxed("caps", "Caps", "The video to replay", GST_TYPE_CAPS,
                           static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS)));
    g_object_class_install_property(
        object_class, PROP_FRAMES,
        g_param_spec_uint("frames", "Frames", "How many different frames were pushed", 0, G_MAXUINT, 0,
                          static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
    gst_element_class_add_static_pad_template(element_class, &src_template);
    gst_element_class_set_static_metadata(element_class, "Replay source", "Source/Video",
                                          "Pushes the same frames again and again", "gst-habana");
    base_class->get_caps = replay_get_caps;
    base_class->set_caps = replay_set_caps;
    base_class->decide_allocation = replay_decide_allocation;
    base_class->start = replay_start;
    GST_PUSH_SRC_CLASS(klass)->create = replay_create;
}

static void hl_replay_src_init(HlReplaySrc *self)
{
    gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

gboolean hl_replay_src_register()
{
    return gst_element_register(nullptr, "replaysrc", GST_RANK_NONE, HL_TYPE_REPLAY_SRC);
}
