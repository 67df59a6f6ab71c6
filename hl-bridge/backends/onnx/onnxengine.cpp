// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/onnxengine.h"

#include "backends/onnx/engineworkers.h"
#include "backends/onnx/layoutprobe.h"
#include "backends/onnx/modelcheck.h"
#include "backends/onnx/networkplan.h"
#include "backends/onnx/ortrunner.h"
#include "core/log.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <format>
#include <map>
#include <mutex>

namespace hl {
namespace {

constexpr uint64_t output_alignment = 64;
constexpr uintmax_t small_model = 8 * 1024 * 1024; // bytes of its file
constexpr unsigned most_sessions = 8;              // opening one takes some 10 ms
constexpr size_t max_plans = 8; // frame formats remembered at once; a stream has one, a few while caps change

// An Engine over the workers: checks requests and keeps the preprocessing plans.
class OnnxEngine final : public Engine {
public:
    OnnxEngine(EngineInfo info, NetworkPlan plan, std::vector<std::shared_ptr<OrtRunner>> runners,
               std::shared_ptr<MemoryResolver> resolver)
        : info_(std::move(info)), plan_(std::move(plan)), resolver_(std::move(resolver)),
          workers_(info_, plan_.plane_input, std::move(runners))
    {}

    [[nodiscard]] const EngineInfo &info() const noexcept override { return info_; }
    [[nodiscard]] Result<FrameTransform> configure(const FrameFormat &format) override;
    [[nodiscard]] Status submit(std::span<const InferRequest> requests, CompletionListener &listener) override;

private:
    [[nodiscard]] Result<EngineTask> check(const InferRequest &request) const;
    [[nodiscard]] Status check_planes(const InferRequest &request) const;
    [[nodiscard]] std::shared_ptr<FramePlan> plan_for(const FrameFormat &format) const;

    const EngineInfo info_;
    const NetworkPlan plan_;
    const std::shared_ptr<MemoryResolver> resolver_;
    mutable std::mutex plans_mutex_;
    std::vector<std::shared_ptr<FramePlan>> plans_; // latest first
    EngineWorkers workers_;                         // last: its threads use the others
};

std::string format_text(const FrameFormat &format)
{
    return std::format("{}x{} {}", format.width, format.height, pixel_format_info(format.format).name);
}

Result<FrameTransform> OnnxEngine::configure(const FrameFormat &format)
{
    if (info_.input == InputKind::RawPlanes) {
        const FrameFormat &want = plan_.planes;
        if (format.format != want.format || format.width != want.width || format.height != want.height)
            return fail(
                ErrorCode::FormatUnsupported, "configure engine",
                std::format("{} reads the planes of {} frames as they lie, these are {}", info_.model,
                            format_text(want), format_text(format)),
                std::format("put videoconvertscale and caps video/x-raw,format=NV12,width={},height={} before it",
                            want.width, want.height));
        return FrameTransform{};
    }
    if (const auto known = plan_for(format))
        return known->preprocess.transform();
    auto preprocess = Preprocess::plan(format, plan_.image);
    if (!preprocess)
        return std::unexpected(preprocess.error());
    auto plan = std::make_shared<FramePlan>(format, std::move(*preprocess), info_.callers);
    const FrameTransform transform = plan->preprocess.transform();
    const std::lock_guard lock(plans_mutex_);
    plans_.insert(plans_.begin(), std::move(plan));
    if (plans_.size() > max_plans)
        plans_.pop_back();
    return transform;
}

std::shared_ptr<FramePlan> OnnxEngine::plan_for(const FrameFormat &format) const
{
    const std::lock_guard lock(plans_mutex_);
    const auto at = std::ranges::find(plans_, format, [](const auto &p) { return p->format; });
    return at == plans_.end() ? nullptr : *at;
}

// Raw planes are the model's inputs: whole rows without gaps.
Status OnnxEngine::check_planes(const InferRequest &request) const
{
    const FrameFormat &format = request.frame.format;
    if (format.format != plan_.planes.format || format.width != plan_.planes.width ||
        format.height != plan_.planes.height)
        return fail(ErrorCode::SubmitFailed, "submit inference",
                    std::format("{} takes {} frames, this one is {}", info_.model, format_text(plan_.planes),
                                format_text(format)),
                    "configure the engine for the frames' format");
    if (request.region.width != 0 && request.region != Rect{0, 0, format.width, format.height})
        return fail(ErrorCode::SubmitFailed, "submit inference",
                    info_.model + " reads whole planes, a part of the frame cannot be chosen", "remove the region");
    for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p)
        if (request.frame.plane[p].stride != plane_row_bytes(format, p))
            return fail(
                ErrorCode::FrameLayoutInvalid, "submit inference",
                std::format("{} reads planes as they lie and needs a stride of {} bytes in plane {}, the frame's "
                            "is {}",
                            info_.model, plane_row_bytes(format, p), p, request.frame.plane[p].stride),
                std::format("let the producer write into hlinfer's or hlupload's pool without padding, or choose "
                            "a width that needs none"));
    return {};
}

Result<EngineTask> OnnxEngine::check(const InferRequest &request) const
{
    const FrameLayout &frame = request.frame;
    if (auto status = validate(frame); !status)
        return std::unexpected(status.error());
    if (!resolver_->reaches(frame.placement()))
        return fail(ErrorCode::SubmitFailed, "submit inference",
                    std::format("the frame lies in {} memory, which this engine does not reach",
                                frame.placement() == Placement::Device ? "device" : "host"),
                    "transfer the frame first");
    EngineTask task{.id = request.id, .deadline = request.deadline, .region = request.region};
    task.view.format = frame.format;
    if (info_.input == InputKind::RawPlanes) {
        if (auto status = check_planes(request); !status)
            return std::unexpected(status.error());
    } else {
        task.plan = plan_for(frame.format);
        if (!task.plan)
            return fail(ErrorCode::SubmitFailed, "submit inference",
                        std::format("frames of {} were not configured", format_text(frame.format)),
                        "configure the engine for the frames' format");
        const Rect &r = request.region;
        if (r.width != 0 && (r.height == 0 || r.x > frame.format.width || r.width > frame.format.width - r.x ||
                             r.y > frame.format.height || r.height > frame.format.height - r.y))
            return fail(ErrorCode::SubmitFailed, "submit inference",
                        std::format("the region {}x{} at {},{} does not lie inside a frame of {}", r.width, r.height,
                                    r.x, r.y, format_text(frame.format)),
                        "choose a region inside the frame");
    }
    for (size_t p = 0; p < pixel_format_info(frame.format.format).planes; ++p) {
        const PlaneLayout &plane = frame.plane[p];
        const auto span = resolver_->resolve(plane.memory);
        if (!span)
            return std::unexpected(span.error());
        if (span->size() < plane.memory.size)
            return fail(ErrorCode::MemoryRange, "submit inference", "a plane's memory is smaller than it says",
                        "report this");
        task.view.data[p] = span->data() + plane.offset;
        task.view.stride[p] = plane.stride;
    }
    if (info_.output_bytes > 0) {
        if (request.output.size < info_.output_bytes)
            return fail(ErrorCode::SubmitFailed, "submit inference",
                        std::format("the output memory has {} bytes, the model writes {}", request.output.size,
                                    info_.output_bytes),
                        "allocate EngineInfo::output_bytes");
        const auto span = resolver_->resolve(request.output);
        if (!span)
            return std::unexpected(span.error());
        if (span->size() < info_.output_bytes)
            return fail(ErrorCode::MemoryRange, "submit inference", "the output memory is smaller than it says",
                        "report this");
        task.output = span->data();
    }
    return task;
}

Status OnnxEngine::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    return workers_.submit(requests.size(), listener, [&](size_t i) { return check(requests[i]); });
}

std::vector<EngineTensor> place_inputs(const std::vector<TensorInfo> &tensors)
{
    std::vector<EngineTensor> out;
    for (const TensorInfo &t : tensors)
        out.push_back({.info = t, .offset = 0, .bytes = t.shape.elements() * dtype_size(t.type)});
    return out;
}

std::vector<EngineTensor> place_outputs(const std::vector<TensorInfo> &tensors, uint64_t &total)
{
    std::vector<EngineTensor> out = place_inputs(tensors);
    total = 0;
    for (EngineTensor &t : out) {
        t.offset = (total + output_alignment - 1) / output_alignment * output_alignment;
        total = t.offset + t.bytes;
    }
    return out;
}

// Loads a model step by step; what each step finds is kept for the next.
class Loader {
public:
    Loader(const Model &model, const EngineOptions &options, std::shared_ptr<MemoryResolver> resolver,
           LayoutMeasurement measurement)
        : model_(model), options_(options), resolver_(std::move(resolver)), measurement_(std::move(measurement))
    {}

    Result<std::shared_ptr<Engine>> load();

private:
    Result<std::shared_ptr<OrtSession>> session(unsigned threads, unsigned caller);
    Status describe(OrtSession &session);
    Result<ComputeLayout> choose();
    void fill_info(const ComputeLayout &layout);

    const Model &model_;
    const EngineOptions &options_;
    std::shared_ptr<MemoryResolver> resolver_;
    LayoutMeasurement measurement_;
    std::map<std::pair<unsigned, unsigned>, std::shared_ptr<OrtSession>> sessions_; // by threads and caller
    NetworkPlan plan_;
    EngineInfo info_;
    Clock::duration run_time_{};
};

// Callers of one session take turns with the blocks of its arena, so that each finds what the other wrote in its cache:
// 2 % of a short run. Small models, whose weights may well be there several times, have a session per caller.
Result<std::shared_ptr<OrtSession>> Loader::session(unsigned threads, unsigned caller)
{
    std::error_code error;
    if (caller >= most_sessions || std::filesystem::file_size(model_.path, error) > small_model || error)
        caller = 0;
    std::shared_ptr<OrtSession> &known = sessions_[{threads, caller}];
    if (known)
        return known;
    auto opened = OrtSession::open(model_.path, threads);
    if (!opened)
        return std::unexpected(opened.error());
    return known = std::move(*opened);
}

// Plans the network and runs it once, which shows the outputs' sizes also where the file leaves them open.
Status Loader::describe(OrtSession &session)
{
    auto plan = plan_network(session.network(), model_);
    if (!plan)
        return std::unexpected(plan.error());
    plan_ = std::move(*plan);
    info_.inputs = place_inputs(plan_.inputs);
    auto begun = Clock::now();
    auto shapes = first_run(session, info_.inputs);
    if (!shapes)
        return std::unexpected(shapes.error());
    run_time_ = Clock::now() - begun;
    // The first run allocates, and any may be interrupted: what looks almost short is looked at again.
    for (int more = 4; more > 0 && run_time_ >= short_run && run_time_ < 10 * short_run; --more) {
        begun = Clock::now();
        if (auto again = first_run(session, info_.inputs); !again)
            return std::unexpected(again.error());
        run_time_ = std::min<Clock::duration>(run_time_, Clock::now() - begun);
    }
    if (auto status = settle_outputs(plan_, *shapes, model_); !status)
        return status;
    info_.outputs = place_outputs(plan_.outputs, info_.output_bytes);
    return {};
}

// What the user set, what was measured before, or what is measured now.
Result<ComputeLayout> Loader::choose()
{
    const std::vector<ComputeLayout> candidates = candidate_layouts(options_.compute_threads, options_.in_flight);
    info_.layout_source = options_.compute_threads > 0 ? "set" : "fixed";
    if (candidates.size() == 1 || !options_.measure)
        return candidates.front();
    const auto hash = hash_file(model_.path);
    if (!hash)
        return std::unexpected(hash.error());
    const LayoutCache cache(*hash,
                            std::format("threads {}, in flight {}", options_.compute_threads, options_.in_flight));
    if (const auto known = cache.load(candidates)) {
        if (options_.compute_threads == 0)
            info_.layout_source = "cached";
        return *known;
    }
    const SessionFor session_for = [this](unsigned threads, unsigned caller) { return session(threads, caller); };
    const auto choice = measurement_(candidates, {plan_, info_, session_for, run_time_});
    if (!choice)
        return std::unexpected(choice.error());
    for (const MeasuredLayout &m : choice->measured)
        log(LogLevel::Info, "onnx",
            std::format("{}: {} callers with {} threads each: {:.1f} runs/s", model_.name, m.layout.callers,
                        m.layout.threads, m.per_second));
    if (choice->decided)
        cache.store(choice->layout, choice->measured);
    else
        log(LogLevel::Info, "onnx",
            std::format("{}: no layout wins clearly ({}); {} callers with {} threads each, to be measured again",
                        model_.name, choice->reason, choice->layout.callers, choice->layout.threads));
    if (options_.compute_threads == 0)
        info_.layout_source = choice->decided ? "measured" : "undecided";
    return choice->layout;
}

void Loader::fill_info(const ComputeLayout &layout)
{
    info_.name = "onnx";
    info_.model = model_.name;
    info_.group_id = plan_.group_id;
    info_.labels = model_.labels;
    info_.input = plan_.kind;
    info_.reads_device = resolver_->reaches(Placement::Device);
    info_.reads_host = resolver_->reaches(Placement::Host);
    info_.preprocess = plan_.kind == InputKind::Image ? PreprocessPlace::Host : PreprocessPlace::InModel;
    info_.callers = layout.callers;
    info_.threads_per_caller = layout.threads;
    info_.in_flight = options_.in_flight > 0 ? options_.in_flight : requests_in_flight(layout.callers, run_time_);
}

Result<std::shared_ptr<Engine>> Loader::load()
{
    if (auto status = check_model_file(model_.path); !status)
        return std::unexpected(status.error());
    auto first = session(1, 0);
    if (!first)
        return std::unexpected(first.error());
    if (auto status = describe(**first); !status)
        return std::unexpected(status.error());
    const auto layout = choose();
    if (!layout)
        return std::unexpected(layout.error());
    fill_info(*layout);
    std::vector<std::shared_ptr<OrtRunner>> runners;
    for (unsigned i = 0; i < layout->callers; ++i) {
        auto own = session(layout->threads, i);
        if (!own)
            return std::unexpected(own.error());
        runners.push_back(
            std::make_shared<OrtRunner>(std::move(*own), info_.inputs, info_.outputs, info_.input == InputKind::Image));
    }
    return std::make_shared<OnnxEngine>(info_, plan_, std::move(runners), resolver_);
}

} // namespace

Result<std::shared_ptr<Engine>> create_onnx_engine(const Model &model, const EngineOptions &options,
                                                   std::shared_ptr<MemoryResolver> resolver,
                                                   LayoutMeasurement measurement)
{
    try {
        return Loader(model, options, std::move(resolver), std::move(measurement)).load();
    } catch (const std::exception &e) {
        return fail(ErrorCode::ModelCorrupt, "load model", std::format("{}: {}", model.name, ort_words(e)),
                    "check the model with onnxruntime in Python, and that there is enough memory for it");
    }
}

} // namespace hl
