// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/completion.h"
#include "device/device.h"
#include "device/framelayout.h"
#include "inference/memoryresolver.h"
#include "inference/model.h"
#include "inference/modelinfo.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hl {

struct EngineOptions {
    unsigned compute_threads =
        0; // threads of the CPU engine in all; 0 = the layout measured best for this model on this machine
    unsigned in_flight = 0; // requests the caller means to keep in flight; 0 = let the engine say
    bool measure = true;    // allow the measurement at load (its result is cached per model and machine)
};

// What an engine eats.
enum class InputKind : uint8_t {
    Nothing,   // the null engine: the frame is never read
    Image,     // one image tensor: the engine preprocesses the frame for it
    RawPlanes, // the frame's planes are the input tensors, as they lie
};
// Where an image input's preprocessing happens, as `stats.preprocess` reports it.
enum class PreprocessPlace : uint8_t { None, Host, InModel };

// A tensor of the loaded model. Outputs of a request lie one after the other in one output memory.
struct EngineTensor {
    TensorInfo info;
    uint64_t offset = 0; // bytes into the output memory; 64-byte aligned; 0 for inputs
    uint64_t bytes = 0;
};

// How a frame is fitted into the model's image: model = frame * scale + pad, per axis, in pixels. Identity where
// InputKind is not Image.
struct FrameTransform {
    double scale_x = 1.0, scale_y = 1.0;
    double pad_x = 0.0, pad_y = 0.0;
};

// Facts about a loaded engine; fixed for its life.
struct EngineInfo {
    std::string name;  // "onnx", "null"
    std::string model; // Model::name
    std::string group_id;
    std::vector<std::string> labels; // Model::labels
    InputKind input = InputKind::Image;
    bool reads_device = false; // takes frames in HBM where they lie
    bool reads_host = false;   // takes frames in Host pages where they lie
    std::vector<EngineTensor> inputs;
    std::vector<EngineTensor> outputs;
    uint64_t output_bytes = 0; // size of a request's output memory; 0: the model has no outputs
    PreprocessPlace preprocess = PreprocessPlace::None;
    unsigned callers = 1; // requests worked on at once
    unsigned threads_per_caller = 1;
    unsigned in_flight = 2;    // requests to keep submitted so that no caller starves
    std::string layout_source; // "measured", "cached", "set", "fixed", "undecided": see LayoutChoice
};

// One inference. The memories must stay allocated until the completion, also after a deadline passed or the submitter
// lost interest.
struct InferRequest {
    uint64_t id = 0;
    FrameLayout frame;               // must lie where EngineInfo says the engine reads; for an engine that reads
                                     // Nothing it may name no memory
    Rect region;                     // part of the frame to look at; width 0 = all of it
    Memory output;                   // Host placement, at least EngineInfo::output_bytes; unused where that is 0
    Deadline deadline = no_deadline; // passed before the start: completes with RunTimeout, not run
};

// A loaded model, ready to run. Thread safe. Made by Device::create_engine(), or by create_cpu_engine() for compute on
// the host.
class Engine {
public:
    virtual ~Engine() = default;

    [[nodiscard]] virtual const EngineInfo &info() const noexcept = 0;

    // Checks that frames of this format can be eaten, and how they are fitted in. Called on every caps change, may
    // prepare plans. Errors: FormatUnsupported naming what would be taken.
    [[nodiscard]] virtual Result<FrameTransform> configure(const FrameFormat &format) = 0;

    // Queues requests, a batch being a list. All or none, as Device::submit(). Completions may come out of order.
    // Errors: SubmitFailed, FrameTooSmall, FrameLayoutInvalid, MemoryStale, MemoryForeign, QueueFull, DeviceLost.
    [[nodiscard]] virtual Status submit(std::span<const InferRequest> requests, CompletionListener &listener) = 0;
};

// An engine on this machine's CPU over the memories `resolver` reaches: the simulator's compute, and compute=host.
// Picks the implementation by the model (ONNX Runtime, or the null engine). Errors: the Model* codes.
[[nodiscard]] Result<std::shared_ptr<Engine>> create_cpu_engine(const Model &model, const EngineOptions &options,
                                                                std::shared_ptr<MemoryResolver> resolver);

// A resolver for Host placement of one device, for compute=host. Keeps the device alive.
[[nodiscard]] std::shared_ptr<MemoryResolver> make_host_resolver(std::shared_ptr<Device> device);

} // namespace hl
