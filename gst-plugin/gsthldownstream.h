// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"
#include "gsthlptr.h"

#include <gst/gst.h>

#include <string>

// What the elements behind a pad say of the frames they will get: for elements that pass frames on as they are, and
// answer the ALLOCATION query for those behind them too.
struct GstHlDownstream {
    bool video_meta = false; // strides and offsets may differ from GStreamer's default ones
    guint min_buffers = 0;   // frames they hold at once
    GstPtr<GstQuery> answer; // nullptr where none was given
};

// Asks the peer of `src` with an ALLOCATION query. Serialized: everything sent before must have reached it. Frames
// under DMABuf caps have no layout but GstVideoMeta's. Who says to read that, but is known not to (see below), counts
// as one that does not. Of sinks that answer nothing fakesink alone may get any layout,
// because it looks at no byte.
[[nodiscard]] GstHlDownstream gst_hl_ask_downstream(GstPad *src, GstCaps *caps);

// Name of the element behind `src` that imports dma-bufs and takes them to have the strides it expects, although it
// says that it reads GstVideoMeta; empty if there is none. Such are V4L2's elements with io-mode=dmabuf-import or
// output-io-mode=dmabuf-import: gst_v4l2_buffer_pool_process() of gst-plugins-good 1.26 looks at no stride of an output
// frame. Looks past elements that pass all frames on, like queue and tee, and into bins.
[[nodiscard]] std::string gst_hl_stride_blind_importer(GstPad *src);

// Likewise, name of a sink that shows frames through a Wayland compositor. Where the compositor does not take the
// dma-buf of a frame of one memory, waylandsink hands it the same descriptor as wl_shm, with GStreamer's default
// strides whatever GstVideoMeta says (gst_wayland_sink_show_frame() of gst-plugins-bad 1.26).
[[nodiscard]] std::string gst_hl_wayland_sink(GstPad *src);

// The error of frames in device memory before such a sink: a compositor that cannot map a wl_shm descriptor ends the
// connection, and waylandsink then takes frames up to the end, shows none, and says nothing.
[[nodiscard]] hl::Status gst_hl_check_display(GstPad *src, const hl::Device &device);

// Adds the metas that downstream understands to an answer of our own, but for the crop: a frame that is looked at here
// has to be cropped before.
void gst_hl_forward_metas(const GstHlDownstream &downstream, GstQuery *query);
