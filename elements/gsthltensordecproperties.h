// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/tensordecoder.h"

#include <gst/gst.h>

#include <cstdint>
#include <optional>
#include <string>

enum GstHlTensorDecSoftmax {
    GST_HL_TENSOR_DEC_SOFTMAX_AUTO,
    GST_HL_TENSOR_DEC_SOFTMAX_ON,
    GST_HL_TENSOR_DEC_SOFTMAX_OFF
};

// hltensordec's settings, as the user left them. Guarded by the element's object lock; copied by the streaming thread
// when `serial` has changed.
struct GstHlTensorDecSettings {
    std::optional<hl::DecoderKind> decoder; // unset: by the tensors' ids
    std::string tensor_id;
    std::string labels;
    std::string classes;
    hl::DecodeOptions options;
    GstHlTensorDecSoftmax softmax = GST_HL_TENSOR_DEC_SOFTMAX_AUTO;
    uint64_t serial = 1;
};

// Installs the properties that mirror GstHlTensorDecSettings, and the read-only "stats" (property id
// gst_hl_tensor_dec_stats_property).
void gst_hl_tensor_dec_install_properties(GObjectClass *klass);
inline constexpr guint gst_hl_tensor_dec_stats_property = 100;

// FALSE for an unknown id. The caller holds the object lock.
[[nodiscard]] bool gst_hl_tensor_dec_settings_set(GstHlTensorDecSettings &settings, guint id, const GValue *value);
[[nodiscard]] bool gst_hl_tensor_dec_settings_get(const GstHlTensorDecSettings &settings, guint id, GValue *value);
