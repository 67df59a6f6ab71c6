// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "core/error.h"
#include "core/frameformat.h"
#include "device/device.h"

#include <gst/base/gstbasetransform.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <cstdint>
#include <memory>
#include <string>

// What hlupload and hldownload have in common: one device for the stream, the properties `device`, `zero-copy` and
// `stats` (notified at EOS and when stopped), the five counters, one placement message per kind of frame and
// negotiation, and caps understood under both memory features. The subclass decides what happens to a frame. Abstract.
#define GST_TYPE_HL_TRANSFORM (gst_hl_transform_get_type())
G_DECLARE_DERIVABLE_TYPE(GstHlTransform, gst_hl_transform, GST, HL_TRANSFORM, GstBaseTransform)

struct _GstHlTransformClass {
    GstBaseTransformClass parent_class;
    // Totals of the CPU maps that others made of this element's frames.
    hl::CopyTotals (*mapped)(GstHlTransform *self);
};

// What a frame of the input is.
enum class GstHlInput : uint8_t { Device, Host, Foreign };

// The frame format both pads agreed on; valid after set_caps, on the streaming thread.
struct GstHlTransformFormat {
    GstVideoInfo in;
    GstVideoInfo out;
    hl::FrameFormat frame;
    uint64_t bytes = 0; // gst_hl_frame_bytes()
};

// transfer none; never null between NULL->READY and READY->NULL.
[[nodiscard]] const std::shared_ptr<hl::Device> &gst_hl_transform_device(GstHlTransform *self);
[[nodiscard]] const GstHlTransformFormat &gst_hl_transform_format(GstHlTransform *self);
// zero-copy=require: a CPU copy is an error.
[[nodiscard]] bool gst_hl_transform_copies_refused(GstHlTransform *self);
// Counts a frame that was moved so; `took`, if not 0, is how long the CPU or the DMA engine worked on it.
void gst_hl_transform_count(GstHlTransform *self, hl::CopyKind kind, hl::Clock::duration took = {});
// Runs `move`, a function that returns an hl::Status; counts and times it if it succeeded.
template <class Move>
[[nodiscard]] hl::Status gst_hl_transform_move(GstHlTransform *self, hl::CopyKind kind, Move &&move)
{
    const auto began = hl::Clock::now();
    hl::Status moved = move();
    if (moved)
        gst_hl_transform_count(self, kind, hl::Clock::now() - began);
    return moved;
}
// Notes that a frame came in `placement` ("device", "host", "system") for the reason `reason`; both static strings.
// True the first time this negotiation has that pair: the caller then posts a placement report.
[[nodiscard]] bool gst_hl_transform_saw_frame(GstHlTransform *self, const gchar *placement, const gchar *reason);
// A new start, or a flush: what failed before is past.
void gst_hl_transform_clear_failure(GstHlTransform *self);
// Posts `error`, if it is the first since READY or the last flush and no loss that another element of the pipeline has
// told, and returns GST_FLOW_FLUSHING: upstream stops without an error of its own. Frames and serialized events are
// refused from here on. Any thread.
[[nodiscard]] GstFlowReturn gst_hl_transform_fail(GstHlTransform *self, const hl::Error &error);
// A frame of the active pool, or the flow return of a failure that was posted. transfer full.
[[nodiscard]] GstFlowReturn gst_hl_transform_acquire(GstHlTransform *self, GstBufferPool *pool, GstBuffer **buffer);
// The element linked to the sink pad, for messages; "upstream" if there is none.
[[nodiscard]] std::string gst_hl_transform_upstream_name(GstHlTransform *self);
// Makes `pool` the only one of the query, with its allocator, so that GstBaseTransform keeps and stops it.
void gst_hl_transform_set_query_pool(GstQuery *query, GstBufferPool *pool, guint size, guint min);
// Adds an always pad template of these caps.
void gst_hl_transform_add_template(GstElementClass *klass, const gchar *name, GstPadDirection direction,
                                   const gchar *caps);
