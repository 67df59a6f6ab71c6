// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferstream.h"

#include "gsthlallocator.h"
#include "gsthlbufferpool.h"
#include "gsthlcaps.h"
#include "gsthlcounted.h"
#include "gsthldownstream.h"
#include "gsthlerror.h"
#include "gsthlframe.h"
#include "gsthlrefusal.h"
#include "gsthlvideo.h"
#include "inference/memoryresolver.h"
#include "inference/model.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <utility>

namespace {

// A producer that first uses a pool of its own and then ours (libav does) is worth a second report, not a third.
constexpr unsigned max_reports = 2;

uint64_t payload_bytes(const hl::FrameFormat &format)
{
    uint64_t bytes = 0;
    for (size_t p = 0; p < hl::pixel_format_info(format.format).planes; ++p)
        bytes += uint64_t{hl::plane_row_bytes(format, p)} * hl::plane_rows(format, p);
    return bytes;
}

const char *preprocess_name(hl::PreprocessPlace place)
{
    switch (place) {
    case hl::PreprocessPlace::Host:
        return "host";
    case hl::PreprocessPlace::InModel:
        return "in-model";
    case hl::PreprocessPlace::None:
        break;
    }
    return "none";
}

hl::Result<std::shared_ptr<hl::Engine>> make_engine(const GstHlInferSettings &settings,
                                                    const std::shared_ptr<hl::Device> &device)
{
    if (settings.model.empty())
        return hl::fail(hl::ErrorCode::ModelMissing, "load model", "no model was given",
                        "set model=builtin:demo, or model= to the path of an .onnx file");
    auto model = hl::Model::load(settings.model, settings.model_info);
    if (!model)
        return std::unexpected(std::move(model.error()));
    const hl::EngineOptions options{.compute_threads = settings.compute_threads, .in_flight = settings.in_flight};
    if (settings.compute == GST_HL_INFER_COMPUTE_HOST)
        return hl::create_cpu_engine(*model, options, hl::make_host_resolver(device));
    return device->create_engine(*model, options);
}

} // namespace

hl::Result<std::unique_ptr<GstHlInferStream>> GstHlInferStream::create(GstElement *element,
                                                                       const GstHlInferSettings &settings,
                                                                       std::shared_ptr<hl::Device> device,
                                                                       GstHlPoolErrorHandler pool_failed)
{
    auto engine = make_engine(settings, device);
    if (!engine)
        return std::unexpected(std::move(engine.error()));
    std::unique_ptr<GstHlInferStream> self(new GstHlInferStream);
    self->element_ = element;
    self->offer_.emplace(element, pool_failed);
    self->settings_ = settings;
    self->device_ = device;
    self->counters_ = std::make_shared<hl::CopyCounters>();
    auto output = GstHlInferOutput::create(device, (*engine)->info());
    if (!output)
        return std::unexpected(std::move(output.error()));
    self->output_ = std::move(*output);
    self->tensor_caps_ = GstHlTensorCaps((*engine)->info());
    auto scheduler = hl::Scheduler::create(std::move(device), std::move(*engine), {.in_flight = settings.in_flight},
                                           self->counters_);
    if (!scheduler)
        return std::unexpected(std::move(scheduler.error()));
    self->scheduler_ = std::move(*scheduler);
    self->queue_ = GstHlInferQueue::create(self->scheduler_->in_flight_limit(), self->scheduler_->engine_info().callers,
                                           std::chrono::nanoseconds(static_cast<int64_t>(settings.timeout)));
    return self;
}

GstHlInferStream::~GstHlInferStream()
{
    if (queue_)
        queue_->stop(GST_FLOW_FLUSHING);
    if (scheduler_ && queue_)
        abandon();
}

std::vector<GstPtr<GstEvent>> GstHlInferStream::abandon()
{
    scheduler_->detach_all();
    return queue_->clear();
}

hl::Result<bool> GstHlInferStream::set_caps(GstCaps *caps)
{
    const auto sink = GstPtr<GstPad>::adopt(gst_element_get_static_pad(element_, "sink"));
    const auto taken = GstPtr<GstCaps>::adopt(gst_pad_get_pad_template_caps(sink.get()));
    if (auto fits = gst_hl_check_input(caps, taken.get(), "hlinfer"); !fits)
        return std::unexpected(std::move(fits.error()));
    GstVideoInfo info;
    (void)gst_hl_video_info_from_caps(caps, &info); // can be read, or it had not been taken
    if (has_format_ && gst_video_info_is_equal(&info, &info_))
        return true;
    auto format = gst_hl_frame_format(info);
    if (!format)
        return std::unexpected(std::move(format.error()));
    // The scheduler changes format only between jobs.
    if (!queue_->wait_requests())
        return false;
    auto transform = scheduler_->configure(*format);
    if (!transform)
        return std::unexpected(std::move(transform.error()));
    output_->set_transform(*transform);
    info_ = info;
    has_format_ = true;
    frame_bytes_ = payload_bytes(*format);
    offer_->forget();
    reports_ = 0;
    const auto [n, d] = std::pair(GST_VIDEO_INFO_FPS_N(&info), GST_VIDEO_INFO_FPS_D(&info));
    frame_duration_ = n > 0 && d > 0 ? gst_util_uint64_scale_int(GST_SECOND, d, n) : GST_CLOCK_TIME_NONE;
    return true;
}

GstFlowReturn GstHlInferStream::take(GstPtr<GstBuffer> frame, bool infer)
{
    const auto entered = hl::Clock::now();
    if (!infer)
        return queue_->push_frame(std::move(frame), entered);
    auto request = queue_->push_request(std::move(frame), entered);
    if (!request)
        return request.error();
    if (auto status = submit(**request); !status)
        queue_->fail(*request, std::move(status.error()));
    return queue_->flow();
}

hl::Status GstHlInferStream::submit(GstHlInferQueue::Request &request)
{
    GstBuffer *const frame = request.frame.get();
    auto output = output_->take();
    if (!output)
        return std::unexpected(std::move(output.error()));
    request.output = std::move(output->buffer);
    hl::Job job{.id = request.number,
                .output = output->memory,
                .deadline = request.deadline,
                .owner = &request,
                .release_owner = GstHlInferQueue::release_request};

    const bool own_pool = offer_->made(frame);
    const bool by_peer = gst_hl_buffer_filled_by_peer(frame);
    // A frame of another pool was counted there.
    if (by_peer && own_pool && !device_->info().simulated)
        counters_->add(hl::CopyKind::P2P, frame_bytes_);
    const bool reads = scheduler_->engine_info().input != hl::InputKind::Nothing;
    if (!reads && reports_ > 0)
        return scheduler_->submit(job, *queue_);
    auto layout = gst_hl_buffer_layout(frame, info_, *device_);
    if (!layout)
        return std::unexpected(std::move(layout.error()));
    Found found;
    if (*layout) {
        found = {.ours = true, .own_pool = own_pool, .placement = (*layout)->placement()};
        job.frame = &**layout;
        job.inbound_writes = by_peer;
    }
    if (auto ok = look(found); !ok)
        return ok;
    if (job.frame || !reads)
        return scheduler_->submit(job, *queue_);
    auto mapped = GstHlMappedFrame::map(frame, info_);
    if (!mapped)
        return std::unexpected(std::move(mapped.error()));
    job.foreign = &mapped->view();
    return scheduler_->submit(job, *queue_);
}

// Tells the user where frames lie and what that costs, and refuses what zero-copy=require refuses.
hl::Status GstHlInferStream::look(const Found &found)
{
    const bool reads = scheduler_->engine_info().input != hl::InputKind::Nothing;
    if (!found.ours && reads && settings_.zero_copy == GST_HL_ZERO_COPY_REQUIRE)
        return std::unexpected(copy_refused());
    if (reports_ > 0 && (reports_ >= max_reports || found == found_))
        return {};
    if (found.ours && found.placement == hl::Placement::Device) {
        const auto src = GstPtr<GstPad>::adopt(gst_element_get_static_pad(element_, "src"));
        if (auto shown = gst_hl_check_display(src.get(), *device_); !shown)
            return shown;
    }
    found_ = found;
    ++reports_;
    const GstHlPlacementReport said = report(found);
    {
        const std::lock_guard lock(mutex_);
        placement_ = said.placement;
        headline_ = headline(found);
    }
    gst_hl_post_placement(element_, said);
    return {};
}

std::string GstHlInferStream::headline(const Found &found) const
{
    const hl::EngineInfo &info = scheduler_->engine_info();
    const char *const frames = !found.ours                                ? "system memory"
                               : found.placement == hl::Placement::Device ? "HBM"
                                                                          : "host pages";
    const bool host = settings_.compute == GST_HL_INFER_COMPUTE_HOST;
    const hl::DeviceInfo &device = device_->info();
    std::string text = std::format("frames in {}, compute on {}", frames,
                                   host ? std::string("HOST") : device.stand_in + " " + device.chip);
    if (!host && !device.caveat.empty())
        text += std::format(" ({})", device.caveat);
    if (info.input == hl::InputKind::Nothing)
        return text + ", frames not read";
    const bool on_device = found.ours && found.placement == hl::Placement::Device;
    if (on_device && !info.reads_device)
        return text + std::format(", {} bytes read back per frame", frame_bytes_);
    if (!found.ours)
        text += std::format(", {} bytes copied by the CPU per frame", frame_bytes_);
    if (!on_device && !info.reads_host)
        text += std::format(", {} bytes uploaded per frame", frame_bytes_);
    return text;
}

GstHlPlacementReport GstHlInferStream::report(const Found &found) const
{
    const hl::EngineInfo &info = scheduler_->engine_info();
    GstHlPlacementReport out{.bytes_per_frame = frame_bytes_};
    if (found.ours)
        out.placement = found.placement == hl::Placement::Device ? "device" : "host";
    else
        out.placement = "system";
    if (found.own_pool)
        out.reason = "own-pool";
    else if (found.ours)
        out.reason = "upstream-pool";
    else
        out.reason = offer_->explain().reason;

    out.cost = headline(found);
    if (found.ours || info.input == hl::InputKind::Nothing)
        return out;
    out.copies = true;
    const GstHlOffer::Refusal refusal = offer_->explain();
    out.suggestion = std::format("{}: {}", refusal.why, refusal.remedy);
    return out;
}

hl::Error GstHlInferStream::copy_refused() const
{
    const GstHlOffer::Refusal refusal = offer_->explain();
    return {.code = hl::ErrorCode::CopyRefused,
            .operation = "take frame",
            .device = device_->info().name,
            .cause = std::format("a frame in system memory would need a CPU copy of {} bytes, and zero-copy=require "
                                 "allows none ({})",
                                 frame_bytes_, refusal.why),
            .remedy = refusal.remedy + ", or set zero-copy=auto"};
}

bool GstHlInferStream::propose_allocation(GstQuery *query, GstPad *src)
{
    GstCaps *caps = nullptr;
    gst_query_parse_allocation(query, &caps, nullptr);
    if (!caps || !queue_->wait_empty())
        return false;
    const GstHlDownstream downstream = gst_hl_ask_downstream(src, caps);
    // Memory that cannot be mapped never travels under system-memory caps, nor to who may map it all the same.
    const hl::Placement placement = gst_hl_caps_are_dmabuf(caps) && gst_hl_wayland_sink(src).empty()
                                        ? gst_hl_memory_mode_placement(settings_.memory, settings_.device_imported)
                                        : hl::Placement::Host;
    // Upstream fills one frame while we hold a full queue, and those behind us theirs.
    const guint min =
        GstHlInferQueue::most_frames(scheduler_->in_flight_limit()) + 1 + std::max(1u, downstream.min_buffers);
    if (!offer_->propose(query, {.device = device_,
                                 .placement = placement,
                                 .planes = settings_.planes,
                                 .min = min,
                                 .strict = settings_.zero_copy == GST_HL_ZERO_COPY_REQUIRE}))
        return false;
    gst_hl_forward_metas(downstream, query);
    return true;
}

void GstHlInferStream::finish(GstHlInferQueue::Item &item)
{
    if (item.output)
        output_->attach(item.frame, std::move(item.output));
}

void GstHlInferStream::fill(GstStructure *stats) const
{
    const hl::DeviceInfo &device = device_->info();
    const hl::EngineInfo &engine = scheduler_->engine_info();
    std::string placement, headline;
    {
        const std::lock_guard lock(mutex_);
        placement = placement_;
        headline = headline_;
    }
    gst_structure_set(stats, "backend", G_TYPE_STRING, device.backend.c_str(), "stand-in", G_TYPE_STRING,
                      device.stand_in.c_str(), "chip", G_TYPE_STRING, device.chip.c_str(), "model", G_TYPE_STRING,
                      gst_hl_utf8(engine.model).c_str(), "engine", G_TYPE_STRING, engine.name.c_str(), "placement",
                      G_TYPE_STRING, placement.empty() ? "unknown" : placement.c_str(), "compute", G_TYPE_STRING,
                      settings_.compute == GST_HL_INFER_COMPUTE_HOST ? "host" : "device", "headline", G_TYPE_STRING,
                      headline.c_str(), "preprocess", G_TYPE_STRING, preprocess_name(engine.preprocess), "in-flight",
                      G_TYPE_UINT, guint{scheduler_->in_flight_limit()}, "compute-threads", G_TYPE_UINT,
                      guint{engine.callers * engine.threads_per_caller}, "callers", G_TYPE_UINT, guint{engine.callers},
                      "layout-source", G_TYPE_STRING, engine.layout_source.c_str(), nullptr);
    stats_.fill(stats);
    gst_hl_counters_to_structure(counters_->totals(), stats);
    gst_hl_map_counters_to_structure(offer_->totals(), stats);
}
