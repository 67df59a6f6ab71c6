// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/tensordecoder.h"

#include <gst/analytics/analytics.h>
#include <gst/gst.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

// Tensors of a frame that belong together, in the order of the decoder that takes them. The tensors are the frame's.
struct GstHlTensorGroup {
    hl::DecoderKind kind = hl::DecoderKind::YoloV8;
    bool probabilities = false; // the id says that a classifier's values are
    std::array<const GstTensor *, hl::max_decoder_tensors> tensors{};
    size_t count = 0;
};

// Finds a group among the tensors of a frame. Streaming thread only, except for construction.
class GstHlTensorFinder {
public:
    GstHlTensorFinder() = default;
    // Any kind by its registered ids; or `kind` alone; or `kind` with the `ids` given, with commas between, and blanks
    // where one likes. Errors: TensorShape where the number of ids is not the kind's, or ids are given without a kind.
    [[nodiscard]] static hl::Result<GstHlTensorFinder> create(std::optional<hl::DecoderKind> kind,
                                                              const std::string &ids);

    // Of the tensors of one GstTensorMeta; of several metas the one attached last, which is the nearest network's.
    // Nothing where no meta is attached; TensorShape, naming the ids that are there, where none fits.
    [[nodiscard]] hl::Result<std::optional<GstHlTensorGroup>> find(GstBuffer *buffer) const;

private:
    struct Wanted {
        hl::DecoderKind kind;
        bool probabilities = false;
        std::array<GQuark, hl::max_decoder_tensors> ids{};
        size_t count = 0;
    };

    [[nodiscard]] std::unexpected<hl::Error> refuse(GstBuffer *buffer) const;
    [[nodiscard]] static bool matches(const Wanted &wanted, const GstTensorMeta &meta,
                                      GstHlTensorGroup &group) noexcept;

    std::vector<Wanted> wanted_;
};

// The tensor's shape and type; TensorShape where this version knows none like it.
[[nodiscard]] hl::Result<hl::TensorKey> gst_hl_tensor_key(const GstTensor &tensor);
