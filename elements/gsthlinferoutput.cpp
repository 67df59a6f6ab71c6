// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferoutput.h"

#include "gsthlallocator.h"
#include "gsthllifopool.h"
#include "gsthltransformmeta.h"

#include <gst/analytics/analytics.h>

#include <mutex>
#include <optional>
#include <utility>

namespace {

// ---- a pool of output memories; its state is C++, so it lives behind a pointer ----

struct TensorPoolPrivate {
    GstPtr<GstHlAllocator> allocator;
    gsize size = 0;
    std::mutex mutex; // guards error
    std::optional<hl::Error> error;
};

} // namespace

struct GstHlTensorPool {
    GstHlLifoPool parent;
    TensorPoolPrivate *priv;
};
struct GstHlTensorPoolClass {
    GstHlLifoPoolClass parent_class;
};

#define GST_HL_TENSOR_POOL_CAST(object) (reinterpret_cast<GstHlTensorPool *>(object))
static GType gst_hl_tensor_pool_get_type();
G_DEFINE_TYPE(GstHlTensorPool, gst_hl_tensor_pool, GST_TYPE_HL_LIFO_POOL)

static GstFlowReturn gst_hl_tensor_pool_alloc_buffer(GstBufferPool *pool, GstBuffer **buffer,
                                                     GstBufferPoolAcquireParams *)
{
    auto *const priv = GST_HL_TENSOR_POOL_CAST(pool)->priv;
    auto memory = gst_hl_allocator_alloc_memory(priv->allocator.get(), priv->size);
    if (!memory) {
        const std::lock_guard lock(priv->mutex);
        priv->error = std::move(memory.error());
        return GST_FLOW_ERROR;
    }
    *buffer = gst_buffer_new();
    gst_buffer_append_memory(*buffer, memory->release());
    return GST_FLOW_OK;
}

static void gst_hl_tensor_pool_finalize(GObject *object)
{
    delete GST_HL_TENSOR_POOL_CAST(object)->priv;
    G_OBJECT_CLASS(gst_hl_tensor_pool_parent_class)->finalize(object);
}

static void gst_hl_tensor_pool_class_init(GstHlTensorPoolClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = gst_hl_tensor_pool_finalize;
    GST_BUFFER_POOL_CLASS(klass)->alloc_buffer = gst_hl_tensor_pool_alloc_buffer;
}

static void gst_hl_tensor_pool_init(GstHlTensorPool *self)
{
    self->priv = new TensorPoolPrivate;
}

namespace {

GstTensorDataType tensor_type(hl::DType type)
{
    switch (type) {
    case hl::DType::UInt8:
    case hl::DType::Bool: // GStreamer 1.26 has no bool; one byte each, 0 or 1
        return GST_TENSOR_DATA_TYPE_UINT8;
    case hl::DType::Int8:
        return GST_TENSOR_DATA_TYPE_INT8;
    case hl::DType::UInt16:
        return GST_TENSOR_DATA_TYPE_UINT16;
    case hl::DType::Int16:
        return GST_TENSOR_DATA_TYPE_INT16;
    case hl::DType::UInt32:
        return GST_TENSOR_DATA_TYPE_UINT32;
    case hl::DType::Int32:
        return GST_TENSOR_DATA_TYPE_INT32;
    case hl::DType::UInt64:
        return GST_TENSOR_DATA_TYPE_UINT64;
    case hl::DType::Int64:
        return GST_TENSOR_DATA_TYPE_INT64;
    case hl::DType::Float16:
        return GST_TENSOR_DATA_TYPE_FLOAT16;
    case hl::DType::BFloat16:
        return GST_TENSOR_DATA_TYPE_BFLOAT16;
    case hl::DType::Float32:
        return GST_TENSOR_DATA_TYPE_FLOAT32;
    case hl::DType::Float64:
        return GST_TENSOR_DATA_TYPE_FLOAT64;
    }
    return GST_TENSOR_DATA_TYPE_UINT8;
}

// Width and height of an image input, whose last three dimensions are CHW or HWC: channels are the small one.
std::pair<guint, guint> image_size(const hl::EngineInfo &info)
{
    if (info.input != hl::InputKind::Image || info.inputs.empty() || info.inputs[0].info.shape.rank() < 3)
        return {0, 0};
    const hl::TensorShape &shape = info.inputs[0].info.shape;
    const size_t last = shape.rank() - 1;
    const size_t rows = shape[last - 2] <= 4 ? last - 1 : last - 2;
    return {static_cast<guint>(shape[rows + 1]), static_cast<guint>(shape[rows])};
}

} // namespace

hl::Result<std::unique_ptr<GstHlInferOutput>> GstHlInferOutput::create(std::shared_ptr<hl::Device> device,
                                                                       const hl::EngineInfo &info)
{
    std::unique_ptr<GstHlInferOutput> self(new GstHlInferOutput);
    if (info.output_bytes == 0)
        return self;
    std::tie(self->model_width_, self->model_height_) = image_size(info);
    for (const hl::EngineTensor &output : info.outputs) {
        Tensor tensor{.id = g_quark_from_string(output.info.id.empty() ? output.info.name.c_str()
                                                                       : output.info.id.c_str()),
                      .type = tensor_type(output.info.type),
                      .column_major = output.info.column_major,
                      .dims = {},
                      .offset = output.offset,
                      .bytes = output.bytes};
        for (const int64_t dim : output.info.shape.dims())
            tensor.dims.push_back(static_cast<gsize>(dim));
        self->tensors_.push_back(std::move(tensor));
    }

    self->pool_ = GstPtr<GstBufferPool>::sink(
        GST_BUFFER_POOL_CAST(g_object_new(gst_hl_tensor_pool_get_type(), "name", "hltensorpool", nullptr)));
    auto *const priv = GST_HL_TENSOR_POOL_CAST(self->pool_.get())->priv;
    priv->allocator = gst_hl_allocator_new(std::move(device), hl::Placement::Host);
    priv->size = info.output_bytes;
    GstStructure *const config = gst_buffer_pool_get_config(self->pool_.get());
    gst_buffer_pool_config_set_params(config, nullptr, static_cast<guint>(info.output_bytes), 1, 0);
    if (!gst_buffer_pool_set_config(self->pool_.get(), config) ||
        !gst_buffer_pool_set_active(self->pool_.get(), TRUE)) {
        if (priv->error)
            return std::unexpected(std::move(*priv->error));
        return hl::fail(hl::ErrorCode::Internal, "start output pool", "the pool of output memories did not start");
    }
    return self;
}

GstHlInferOutput::~GstHlInferOutput()
{
    if (pool_)
        gst_buffer_pool_set_active(pool_.get(), FALSE);
}

hl::Result<GstHlInferOutput::Taken> GstHlInferOutput::take()
{
    if (!pool_)
        return Taken{};
    GstBuffer *buffer = nullptr;
    if (gst_buffer_pool_acquire_buffer(pool_.get(), &buffer, nullptr) != GST_FLOW_OK) {
        auto *const priv = GST_HL_TENSOR_POOL_CAST(pool_.get())->priv;
        const std::lock_guard lock(priv->mutex);
        if (priv->error)
            return std::unexpected(std::move(*std::exchange(priv->error, std::nullopt)));
        return hl::fail(hl::ErrorCode::Internal, "take output memory", "the pool of output memories was stopped");
    }
    Taken taken{.buffer = GstPtr<GstBuffer>::adopt(buffer), .memory = {}};
    auto memory = gst_hl_memory_get(gst_buffer_peek_memory(buffer, 0));
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    taken.memory = *memory;
    return taken;
}

// Mallocs per frame that GStreamer's API forces here: the two metas (gst_buffer_add_meta), the tensor array and each
// GstTensor, and for models with several outputs a GstBuffer and a GstMemory each.
void GstHlInferOutput::attach(GstPtr<GstBuffer> &frame, GstPtr<GstBuffer> output) const
{
    if (!output || tensors_.empty())
        return;
    frame = GstPtr<GstBuffer>::adopt(gst_buffer_make_writable(frame.release()));
    const bool single = tensors_.size() == 1 && gst_buffer_get_size(output.get()) == tensors_[0].bytes;
    auto **const list = static_cast<GstTensor **>(g_malloc(sizeof(GstTensor *) * tensors_.size()));
    for (size_t i = 0; i < tensors_.size(); ++i) {
        const Tensor &t = tensors_[i];
        GstTensor *const tensor = gst_tensor_alloc(t.dims.size());
        tensor->num_dims = t.dims.size();
        tensor->id = t.id;
        tensor->layout = GST_TENSOR_LAYOUT_CONTIGUOUS;
        tensor->data_type = static_cast<GstTensorDataType>(t.type);
        tensor->dims_order = t.column_major ? GST_TENSOR_DIM_ORDER_COL_MAJOR : GST_TENSOR_DIM_ORDER_ROW_MAJOR;
        for (size_t d = 0; d < t.dims.size(); ++d)
            tensor->dims[d] = t.dims[d];
        tensor->data = single ? output.release()
                              : gst_buffer_copy_region(output.get(), GST_BUFFER_COPY_MEMORY, t.offset, t.bytes);
        list[i] = tensor;
    }
    gst_tensor_meta_set(gst_buffer_add_tensor_meta(frame.get()), static_cast<guint>(tensors_.size()), list);
    if (model_width_ && model_height_)
        gst_hl_buffer_add_transform_meta(frame.get(), transform_, model_width_, model_height_);
}
