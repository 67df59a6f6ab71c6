// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/tensorshape.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hl {

enum class TensorDirection : uint8_t { Input, Output };
enum class ScaleMode : uint8_t { Stretch, Letterbox };
enum class ChannelOrder : uint8_t { RGB, BGR };
enum class TensorLayout : uint8_t { NCHW, NHWC };

// One tensor as a `.modelinfo` file describes it (GStreamer 1.28's ini format: a section named like the tensor).
struct TensorInfo {
    std::string name;
    TensorDirection direction = TensorDirection::Output;
    std::string id; // registered tensor id, e.g. "yolo-v8-out"; empty where none is given
    DType type = DType::Float32;
    TensorShape shape;
    std::string bind; // whence an input of a recipe gets its bytes: "frame:y", "frame:uv", "frame:rgb", or "file:" and
                      // a path beside the .modelinfo (datafile.h); empty: not said. Ours, stock readers ignore it
    bool column_major = false;                     // dims-order=col-major
    std::vector<std::pair<double, double>> ranges; // input value range per channel, e.g. {0,1}; empty: unknown
};

// How a frame becomes an image input. From the section [gst-habana], which stock readers ignore.
struct PreprocessInfo {
    ScaleMode scale = ScaleMode::Stretch;
    uint8_t pad_value = 114; // of 255, for letterbox borders
    ChannelOrder order = ChannelOrder::RGB;
    std::array<float, 3> mean{0.f, 0.f, 0.f}; // of pixel values in 0..255, by channel in the model's order
    std::array<float, 3> scale_by{1.f / 255.f, 1.f / 255.f,
                                  1.f /
                                      255.f}; // value = (pixel - mean) * scale_by; for uint8 inputs neither is applied
};

// A parsed `.modelinfo`, or the same facts gathered from a model's own metadata.
struct ModelInfo {
    std::string version; // "1.0"
    std::string group_id;
    std::vector<TensorInfo> tensors;

    // [gst-habana]
    std::string engine; // "" = by the model file's type, "null" = an engine that does nothing
    std::string labels; // path as resolved beside the file; empty: none
    std::string planes; // "" = image input; "nv12" = the model eats raw planes
    PreprocessInfo preprocess;

    [[nodiscard]] const TensorInfo *find(std::string_view tensor_name) const noexcept;

    // Reads the ini file (GLib's GKeyFile). Errors: ModelMissing, ModelInfoInvalid naming file, section and key.
    [[nodiscard]] static Result<ModelInfo> load(const std::string &path);
    // The same of a file's text; `path` is what errors call it, and where a labels file lies beside.
    [[nodiscard]] static Result<ModelInfo> parse(const std::string &text, const std::string &path);
    // The text of a file that describes these tensors, for a user to save and complete.
    [[nodiscard]] std::string skeleton() const;
};

} // namespace hl
