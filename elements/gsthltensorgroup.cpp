// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthltensorgroup.h"

#include "core/text.h"

#include <format>
#include <utility>

namespace {

std::optional<hl::DType> dtype_of(GstTensorDataType type) noexcept
{
    switch (type) {
    case GST_TENSOR_DATA_TYPE_INT8:
        return hl::DType::Int8;
    case GST_TENSOR_DATA_TYPE_INT16:
        return hl::DType::Int16;
    case GST_TENSOR_DATA_TYPE_INT32:
        return hl::DType::Int32;
    case GST_TENSOR_DATA_TYPE_INT64:
        return hl::DType::Int64;
    case GST_TENSOR_DATA_TYPE_UINT8:
        return hl::DType::UInt8;
    case GST_TENSOR_DATA_TYPE_UINT16:
        return hl::DType::UInt16;
    case GST_TENSOR_DATA_TYPE_UINT32:
        return hl::DType::UInt32;
    case GST_TENSOR_DATA_TYPE_UINT64:
        return hl::DType::UInt64;
    case GST_TENSOR_DATA_TYPE_FLOAT16:
        return hl::DType::Float16;
    case GST_TENSOR_DATA_TYPE_FLOAT32:
        return hl::DType::Float32;
    case GST_TENSOR_DATA_TYPE_FLOAT64:
        return hl::DType::Float64;
    case GST_TENSOR_DATA_TYPE_BFLOAT16:
        return hl::DType::BFloat16;
    default:
        return std::nullopt; // the 4-bit ones
    }
}

void append(std::string &list, std::string_view entry)
{
    list += list.empty() ? "" : ", ";
    list += entry;
}

} // namespace

hl::Result<GstHlTensorFinder> GstHlTensorFinder::create(std::optional<hl::DecoderKind> kind, const std::string &ids)
{
    GstHlTensorFinder out;
    if (ids.empty()) {
        for (const auto &known : hl::registered_decoders()) {
            if (kind && known.kind != *kind)
                continue;
            Wanted wanted{.kind = known.kind, .probabilities = known.probabilities, .ids = {}, .count = known.count()};
            for (size_t i = 0; i < wanted.count; ++i)
                wanted.ids[i] = g_quark_from_string(std::string(known.ids[i]).c_str());
            out.wanted_.push_back(wanted);
        }
        return out;
    }

    if (!kind)
        return hl::fail(hl::ErrorCode::TensorShape, "find tensor", "tensor-id is set, and the decoder is not",
                        "set the property decoder to what these tensors are");
    Wanted wanted{.kind = *kind, .probabilities = false, .ids = {}, .count = 0};
    size_t given = 0;
    for (size_t start = 0; start <= ids.size(); ++given) {
        const size_t comma = std::min(ids.find(',', start), ids.size());
        if (given < wanted.ids.size())
            wanted.ids[given] = g_quark_from_string(
                std::string(hl::trimmed(std::string_view(ids).substr(start, comma - start))).c_str());
        start = comma + 1;
    }
    wanted.count = hl::decoder_tensors(*kind);
    if (given != wanted.count)
        return hl::fail(hl::ErrorCode::TensorShape, "find tensor",
                        std::format("expected {} tensor ids for the decoder {}, got {}: {}", wanted.count,
                                    hl::decoder_name(*kind), given, ids),
                        "give the ids in the property tensor-id with commas between");
    out.wanted_.push_back(wanted);
    return out;
}

bool GstHlTensorFinder::matches(const Wanted &wanted, const GstTensorMeta &meta, GstHlTensorGroup &group) noexcept
{
    const std::span tensors(meta.tensors, meta.num_tensors);
    for (size_t i = 0; i < wanted.count; ++i) {
        const auto found = std::ranges::find(tensors, wanted.ids[i], &GstTensor::id);
        if (found == tensors.end())
            return false;
        group.tensors[i] = *found;
    }
    group.kind = wanted.kind;
    group.probabilities = wanted.probabilities;
    group.count = wanted.count;
    return true;
}

hl::Result<std::optional<GstHlTensorGroup>> GstHlTensorFinder::find(GstBuffer *buffer) const
{
    gpointer position = nullptr;
    std::optional<GstHlTensorGroup> last;
    bool any_meta = false;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &position, GST_TENSOR_META_API_TYPE)) {
        any_meta = true;
        GstHlTensorGroup group;
        for (const Wanted &wanted : wanted_)
            if (matches(wanted, *reinterpret_cast<const GstTensorMeta *>(meta), group)) {
                last = group;
                break;
            }
    }
    if (!last && any_meta)
        return refuse(buffer);
    return last;
}

std::unexpected<hl::Error> GstHlTensorFinder::refuse(GstBuffer *buffer) const
{
    std::string expected, present;
    for (const Wanted &wanted : wanted_) {
        std::string ids;
        for (size_t i = 0; i < wanted.count; ++i)
            append(ids, g_quark_to_string(wanted.ids[i]));
        expected += std::format("{}{} ({})", expected.empty() ? "" : " or ", ids, hl::decoder_name(wanted.kind));
    }
    gpointer position = nullptr;
    while (GstMeta *meta = gst_buffer_iterate_meta_filtered(buffer, &position, GST_TENSOR_META_API_TYPE)) {
        const auto *tensors = reinterpret_cast<const GstTensorMeta *>(meta);
        for (const GstTensor *tensor : std::span(tensors->tensors, tensors->num_tensors)) {
            const gchar *name = g_quark_to_string(tensor->id);
            append(present, name ? name : "(none)");
        }
    }
    return hl::fail(
        hl::ErrorCode::TensorShape, "find tensor",
        std::format("expected tensors with the ids {}; got the ids: {}", expected, present.empty() ? "none" : present),
        "set the ids of the model's outputs in its .modelinfo file, or the properties decoder and tensor-id");
}

hl::Result<hl::TensorKey> gst_hl_tensor_key(const GstTensor &tensor)
{
    const auto type = dtype_of(tensor.data_type);
    if (!type || tensor.num_dims > hl::TensorShape::max_rank)
        return hl::fail(hl::ErrorCode::TensorShape, "decode tensor",
                        std::format("expected a tensor of at most {} dimensions of whole bytes, got {} dimensions of "
                                    "type {}",
                                    hl::TensorShape::max_rank, tensor.num_dims, static_cast<int>(tensor.data_type)),
                        "use a model with float32 outputs");
    std::array<int64_t, hl::TensorShape::max_rank> dims{};
    for (size_t i = 0; i < tensor.num_dims; ++i)
        dims[i] = std::in_range<int64_t>(tensor.dims[i]) ? static_cast<int64_t>(tensor.dims[i]) : -1;
    return hl::TensorKey{hl::TensorShape(std::span<const int64_t>(dims.data(), tensor.num_dims)), *type};
}
