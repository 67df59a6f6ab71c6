// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferlatency.h"

#include "gsthlinferqueue.h"

namespace {

// How often measured and announced latency are compared.
constexpr uint64_t check_frames = 128;

// The measured time, or a frame's duration until enough was measured.
GstClockTime own_latency(const GstHlInferStream *stream)
{
    if (const GstClockTime measured = stream ? stream->stats().latency() : 0; measured > 0)
        return measured;
    const GstClockTime frame = stream ? stream->frame_duration() : GST_CLOCK_TIME_NONE;
    return GST_CLOCK_TIME_IS_VALID(frame) ? frame : GST_SECOND / 30;
}

} // namespace

void GstHlInferLatency::reset()
{
    frames_ = 0;
    live_ = false;
    announced_ = 0;
}

bool GstHlInferLatency::answer(GstPad *sink, const GstHlInferStream *stream, GstQuery *query)
{
    if (!gst_pad_peer_query(sink, query))
        return false;
    gboolean live = FALSE;
    GstClockTime min = 0, max = 0;
    gst_query_parse_latency(query, &live, &min, &max);
    const GstClockTime own = own_latency(stream);
    live_ = live != FALSE;
    announced_ = own;
    min += own;
    if (GST_CLOCK_TIME_IS_VALID(max)) {
        // We hold back that many frames before upstream has to wait.
        const GstClockTime frame = stream ? stream->frame_duration() : GST_CLOCK_TIME_NONE;
        max += own;
        if (GST_CLOCK_TIME_IS_VALID(frame))
            max += GstHlInferQueue::most_frames(stream->in_flight()) * frame;
    }
    gst_query_set_latency(query, live, min, max);
    return true;
}

bool GstHlInferLatency::outgrown(const GstHlInferStream &stream)
{
    if (++frames_ % check_frames != 0 || !live_)
        return false;
    const GstClockTime announced = announced_;
    return stream.stats().latency() > announced + announced / 4;
}
