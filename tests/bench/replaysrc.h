// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/base/gstpushsrc.h>
#include <gst/gst.h>

// A source that costs next to nothing: it fills each buffer of the negotiated pool once, with noise, and from then on
// only acquires and pushes it. So a pipeline behind it is measured without a producer, on frames in the memory its
// neighbour proposed. Properties: "caps" (fixed video caps), "frames" (how many different ones there were; read when
// nothing streams), "num-buffers" and "is-live"/"do-timestamp" of GstBaseSrc.
#define HL_TYPE_REPLAY_SRC (hl_replay_src_get_type())
G_DECLARE_FINAL_TYPE(HlReplaySrc, hl_replay_src, HL, REPLAY_SRC, GstPushSrc)

// Registers the element "replaysrc" in this process.
gboolean hl_replay_src_register();
