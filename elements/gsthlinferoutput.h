// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"
#include "gsthlptr.h"
#include "inference/engine.h"

#include <gst/gst.h>

#include <memory>
#include <vector>

// The results of a model as GStreamer sees them: pooled Host pages that the engine fills, attached to the frame as a
// GstTensorMeta with one GstTensor per output, and a GstHlTransformMeta. Nothing at all for models without outputs.
class GstHlInferOutput {
public:
    // Errors: MemoryHost, FdLimit, DeviceLost.
    [[nodiscard]] static hl::Result<std::unique_ptr<GstHlInferOutput>> create(std::shared_ptr<hl::Device> device,
                                                                              const hl::EngineInfo &info);
    GstHlInferOutput(const GstHlInferOutput &) = delete;
    GstHlInferOutput &operator=(const GstHlInferOutput &) = delete;
    ~GstHlInferOutput();

    // How frames are fitted into the model's image from now on.
    void set_transform(const hl::FrameTransform &transform) { transform_ = transform; }

    // A buffer for one request's outputs and what the device calls it. Both empty for models without outputs. Any
    // thread. Errors: MemoryHost, FdLimit, DeviceLost.
    struct Taken {
        GstPtr<GstBuffer> buffer;
        hl::Memory memory;
    };
    [[nodiscard]] hl::Result<Taken> take();

    // Attaches a filled buffer to its frame, which is made writable first (a copy of the GstBuffer alone, where
    // somebody else holds it; its memory stays).
    void attach(GstPtr<GstBuffer> &frame, GstPtr<GstBuffer> output) const;

private:
    struct Tensor {
        GQuark id;
        int type; // GstTensorDataType
        bool column_major;
        std::vector<gsize> dims;
        gsize offset;
        gsize bytes;
    };

    GstHlInferOutput() = default;

    GstPtr<GstBufferPool> pool_;
    std::vector<Tensor> tensors_;
    hl::FrameTransform transform_;
    guint model_width_ = 0;
    guint model_height_ = 0;
};
