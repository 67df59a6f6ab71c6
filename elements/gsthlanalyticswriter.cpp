// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlanalyticswriter.h"

#include "gsthlptr.h"

#include <gst/analytics/analytics.h>

#include <algorithm>
#include <array>
#include <format>

namespace {

// The largest number that a GRAY8 mask tells apart from the background, 0.
constexpr guint max_regions = 255;

// More than a box or a mask takes in the meta, and a class with its score: gstanalyticsobjectdetectionmtd.c,
// gstanalyticssegmentationmtd.c and gstanalyticsclassificationmtd.c. Where it is not, the meta grows.
constexpr gsize bytes_per_entry = 128, bytes_per_class = sizeof(gfloat) + sizeof(GQuark);

// A mask as a picture, in which the object is `region`.
GstPtr<GstBuffer> picture_of(GstHlMaskPool &pool, const hl::ObjectMask &mask, guint region)
{
    auto picture = pool.take(mask.width, mask.height);
    const GstBufferMap map(picture.get(), GST_MAP_WRITE);
    std::ranges::transform(mask.cells, map.data(), [region](uint8_t inside) -> guint8 {
        return inside ? static_cast<guint8>(region) : guint8{0};
    });
    return picture;
}

// With room for all of it: one that has none grows by as much as it began with, and copies its matrix of relations,
// entries by entries, at each step (gstanalyticsmeta.c gst_analytics_relation_meta_add_mtd()).
GstAnalyticsRelationMeta *add_relations(GstBuffer *buffer, const hl::Decoded &found)
{
    const gsize entries = found.objects.size() + found.masks.size() + 1;
    GstAnalyticsRelationMetaInitParams room{
        .initial_relation_order = entries,
        .initial_buf_size = entries * bytes_per_entry + found.classes.size() * bytes_per_class,
    };
    return gst_buffer_add_analytics_relation_meta_full(buffer, &room);
}

void add_mask(GstHlMaskPool &pool, GstAnalyticsRelationMeta *relations, const GstAnalyticsODMtd &object,
              const hl::ObjectMask &mask, const hl::PixelBox &box, guint region)
{
    std::array<guint, 2> regions{0, region};
    GstAnalyticsSegmentationMtd segmentation;
    gst_analytics_relation_meta_add_segmentation_mtd(
        relations, picture_of(pool, mask, region).release(), GST_SEGMENTATION_TYPE_INSTANCE, regions.size(),
        regions.data(), box.x, box.y, static_cast<guint>(box.width), static_cast<guint>(box.height), &segmentation);
    gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, object.id, segmentation.id);
    gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, segmentation.id, object.id);
}

} // namespace

void GstHlAnalyticsWriter::set_labels(std::span<const std::string> labels)
{
    names_.clear();
    for (const auto &label : labels)
        names_.push_back(label.empty() ? 0 : g_quark_from_string(label.c_str()));
}

GQuark GstHlAnalyticsWriter::name(uint32_t class_index)
{
    if (names_.size() <= class_index)
        names_.resize(size_t{class_index} + 1, 0);
    if (names_[class_index] == 0)
        names_[class_index] = g_quark_from_string(std::format("class-{}", class_index).c_str());
    return names_[class_index];
}

// GStreamer takes memory for the meta, once; nothing else here does in a steady stream.
void GstHlAnalyticsWriter::write(GstBuffer *buffer, const hl::Decoded &found, const hl::DecodeFrame &frame)
{
    GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta(buffer);
    if (!relations)
        relations = add_relations(buffer, found);
    for (size_t i = 0; i < found.objects.size(); ++i) {
        const auto &object = found.objects[i];
        const auto box = hl::pixel_box(object, frame);
        GstAnalyticsODMtd added;
        gst_analytics_relation_meta_add_od_mtd(relations, name(object.class_index), box.x, box.y, box.width, box.height,
                                               object.score, &added);
        if (i < found.masks.size())
            add_mask(masks_, relations, added, found.masks[i], box, static_cast<guint>(i) % max_regions + 1);
    }
    if (found.classes.empty())
        return;
    levels_.clear();
    quarks_.clear();
    for (const auto &[class_index, score] : found.classes) {
        levels_.push_back(score);
        quarks_.push_back(name(class_index));
    }
    GstAnalyticsClsMtd added;
    gst_analytics_relation_meta_add_cls_mtd(relations, levels_.size(), levels_.data(), quarks_.data(), &added);
}
