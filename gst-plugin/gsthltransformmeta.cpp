// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltransformmeta.h"

namespace {

gboolean transform_meta_init(GstMeta *meta, gpointer, GstBuffer *)
{
    auto *self = reinterpret_cast<GstHlTransformMeta *>(meta);
    self->transform = {};
    self->model_width = 0;
    self->model_height = 0;
    return TRUE;
}

// Any copy of the whole frame keeps the relation between frame and model; a scaled copy would not, and drops it.
gboolean transform_meta_transform(GstBuffer *target, GstMeta *meta, GstBuffer *, GQuark type, gpointer)
{
    if (!GST_META_TRANSFORM_IS_COPY(type))
        return FALSE;
    const auto *self = reinterpret_cast<const GstHlTransformMeta *>(meta);
    return gst_hl_buffer_add_transform_meta(target, self->transform, self->model_width, self->model_height) != nullptr;
}

} // namespace

// A program that links this library and loads the plugin has two copies of it; the second takes what the first
// registered, so that one finds the metas of the other.
GType gst_hl_transform_meta_api_get_type()
{
    static const gchar *tags[] = {nullptr};
    static const GType known = g_type_from_name("GstHlTransformMetaAPI");
    static const GType type = known ? known : gst_meta_api_type_register("GstHlTransformMetaAPI", tags);
    return type;
}

const GstMetaInfo *gst_hl_transform_meta_get_info()
{
    static const GstMetaInfo *const known = gst_meta_get_info("GstHlTransformMeta");
    static const GstMetaInfo *const info =
        known ? known
              : gst_meta_register(gst_hl_transform_meta_api_get_type(), "GstHlTransformMeta",
                                  sizeof(GstHlTransformMeta), transform_meta_init, nullptr, transform_meta_transform);
    return info;
}

GstHlTransformMeta *gst_hl_buffer_add_transform_meta(GstBuffer *buffer, const hl::FrameTransform &transform,
                                                     guint model_width, guint model_height)
{
    auto *self =
        reinterpret_cast<GstHlTransformMeta *>(gst_buffer_add_meta(buffer, gst_hl_transform_meta_get_info(), nullptr));
    if (!self)
        return nullptr;
    self->transform = transform;
    self->model_width = model_width;
    self->model_height = model_height;
    return self;
}

GstHlTransformMeta *gst_hl_buffer_get_transform_meta(GstBuffer *buffer)
{
    return reinterpret_cast<GstHlTransformMeta *>(gst_buffer_get_meta(buffer, gst_hl_transform_meta_api_get_type()));
}
