// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltensorcaps.h"

#include "core/dtype.h"
#include "gsthlcompat.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr const gchar *field = "tensors";

// GStreamer's caps, written as text, are read again only if each field is named so (gststructure.c).
bool is_field_name(std::string_view name)
{
    return !name.empty() && g_ascii_isalpha(name[0]) && std::ranges::all_of(name, [](char c) {
        return g_ascii_isalnum(c) || std::string_view("/-_.:+").contains(c);
    });
}

GValue dims_value(const hl::TensorShape &shape)
{
    GValue dims = G_VALUE_INIT;
    gst_value_array_init(&dims, static_cast<guint>(shape.rank()));
    for (const int64_t dim : shape.dims()) {
        GValue value = G_VALUE_INIT;
        g_value_init(&value, G_TYPE_INT);
        // 0 stands for a dimension that is not told.
        g_value_set_int(&value, std::in_range<gint>(dim) ? static_cast<gint>(dim) : 0);
        gst_value_array_append_and_take_value(&dims, &value);
    }
    return dims;
}

// One tensor as its GstTensor will describe itself: GstHlInferOutput names and types it alike.
GValue tensor_value(const hl::TensorInfo &tensor)
{
    const hl::DType type = tensor.type == hl::DType::Bool ? hl::DType::UInt8 : tensor.type;
    GstStructure *const description = gst_structure_new(
        "tensor/strided", "tensor-id", G_TYPE_STRING, (tensor.id.empty() ? tensor.name : tensor.id).c_str(),
        "dims-order", G_TYPE_STRING, tensor.column_major ? "col-major" : "row-major", "type", G_TYPE_STRING,
        std::string(hl::dtype_name(type)).c_str(), nullptr);
    GValue dims = dims_value(tensor.shape);
    gst_structure_take_value(description, "dims", &dims);
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_CAPS);
    const auto caps = GstPtr<GstCaps>::adopt(gst_caps_new_full(description, nullptr));
    gst_value_set_caps(&value, caps.get());
    return value;
}

GstPtr<GstCaps> common(GstCaps *first, GstCaps *second)
{
    return GstPtr<GstCaps>::adopt(gst_caps_intersect_full(first, second, GST_CAPS_INTERSECT_FIRST));
}

const GstStructure *groups_of(const GstStructure *video)
{
    const GValue *groups = gst_structure_get_value(video, field);
    return groups && GST_VALUE_HOLDS_STRUCTURE(groups) ? gst_value_get_structure(groups) : nullptr;
}

// `caps` without what they say of the groups that `ours` has: two caps that differ there have nothing in common.
GstPtr<GstCaps> without_groups(const GstCaps *caps, const GstCaps *ours)
{
    const GstStructure *own = groups_of(gst_caps_get_structure(ours, 0));
    auto out = GstPtr<GstCaps>::adopt(gst_caps_copy(caps));
    for (guint i = 0; i < gst_caps_get_size(out.get()); ++i) {
        GstStructure *const video = gst_caps_get_structure(out.get(), i);
        const GstStructure *told = groups_of(video);
        if (!told)
            continue;
        const GstStructurePtr others(gst_structure_copy(told));
        for (gint n = 0; n < gst_structure_n_fields(own); ++n)
            gst_structure_remove_field(others.get(), gst_structure_nth_field_name(own, static_cast<guint>(n)));
        gst_structure_set(video, field, GST_TYPE_STRUCTURE, others.get(), nullptr);
    }
    return out;
}

} // namespace

GstHlTensorCaps::GstHlTensorCaps(const hl::EngineInfo &info)
{
    if (info.outputs.empty() || info.group_id.empty())
        return;
    if (!is_field_name(info.group_id)) {
        GST_WARNING("the group id '%s' cannot stand in caps: decoders that look for it there will not be linked",
                    info.group_id.c_str());
        return;
    }
    std::vector<GValue> tensors;
    for (const hl::EngineTensor &output : info.outputs)
        tensors.push_back(tensor_value(output.info));
    GValue list = G_VALUE_INIT;
    if (!gst_hl_take_unique_list(&list, tensors)) {
        std::ranges::for_each(tensors, [](GValue &value) { g_value_unset(&value); });
        return;
    }
    const GstStructurePtr groups(gst_structure_new_empty("tensorgroups"));
    gst_structure_take_value(groups.get(), info.group_id.c_str(), &list);
    caps_ = GstPtr<GstCaps>::adopt(
        gst_caps_new_full(gst_structure_new("video/x-raw", field, GST_TYPE_STRUCTURE, groups.get(), nullptr), nullptr));
    gst_caps_set_features(caps_.get(), 0, gst_caps_features_new_any());
}

GstPtr<GstCaps> GstHlTensorCaps::add(GstCaps *caps) const
{
    return caps_ ? common(without_groups(caps, caps_.get()).get(), caps_.get()) : GstPtr<GstCaps>::share(caps);
}

GstPtr<GstCaps> GstHlTensorCaps::remove(GstCaps *caps) const
{
    return caps_ ? drop(common(caps, caps_.get()).get()) : GstPtr<GstCaps>::share(caps);
}

GstPtr<GstCaps> GstHlTensorCaps::drop(GstCaps *caps)
{
    auto out = GstPtr<GstCaps>::adopt(gst_caps_copy(caps));
    for (guint i = 0; i < gst_caps_get_size(out.get()); ++i)
        gst_structure_remove_field(gst_caps_get_structure(out.get(), i), field);
    return out;
}

GstPtr<GstEvent> GstHlTensorCaps::add(GstPtr<GstEvent> event) const
{
    if (!caps_)
        return event;
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event.get(), &caps);
    const auto told = add(caps);
    // There is no event of caps that say nothing (gstevent.c gst_event_new_caps()).
    if (gst_caps_is_empty(told.get()))
        return event;
    auto out = GstPtr<GstEvent>::adopt(gst_event_new_caps(told.get()));
    gst_event_set_seqnum(out.get(), gst_event_get_seqnum(event.get()));
    return out;
}

GstPtr<GstCaps> GstHlTensorCaps::to_other(GstPad *pad, GstCaps *caps) const
{
    return GST_PAD_IS_SINK(pad) ? add(caps) : remove(caps);
}

GstPtr<GstCaps> GstHlTensorCaps::from_other(GstPad *pad, GstCaps *caps) const
{
    return GST_PAD_IS_SINK(pad) ? remove(caps) : add(caps);
}

bool GstHlTensorCaps::answer(GstPad *pad, GstPad *other, GstQuery *query) const
{
    if (!caps_)
        return false;
    const auto own = GstPtr<GstCaps>::adopt(gst_pad_get_pad_template_caps(pad));
    if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
        GstCaps *caps = nullptr;
        gst_query_parse_accept_caps(query, &caps);
        gst_query_set_accept_caps_result(query, gst_caps_is_subset(caps, own.get()) &&
                                                    gst_pad_peer_query_accept_caps(other, to_other(pad, caps).get()));
        return true;
    }
    if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS)
        return false;
    GstCaps *filter = nullptr;
    gst_query_parse_caps(query, &filter);
    const auto asked = filter ? to_other(pad, filter) : GstPtr<GstCaps>();
    const auto peer = GstPtr<GstCaps>::adopt(gst_pad_peer_query_caps(other, asked.get()));
    auto answer = common(from_other(pad, peer.get()).get(), own.get());
    if (filter)
        answer = common(filter, answer.get());
    gst_query_set_caps_result(query, answer.get());
    return true;
}
