// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <string>

// Who stands upstream of a pad, followed through elements with one sink pad and through bins: for words about frames
// that come in the wrong memory, or not at all.
struct GstHlUpstream {
    std::string neighbour; // name of the element linked to the pad; "upstream" if there is none
    std::string swallower; // name of the nearest tee: it forwards the ALLOCATION query, but no pool of its answer
    std::string producer;  // factory of the element that fills the frames; empty where several may
    std::string node;      // of a producer that imports: its device property
    bool imports = false;  // the producer is set to import dma-bufs from a pool, and takes nothing else
    // The start of a launch line in which the producer gets our pool, e.g. "v4l2src io-mode=dmabuf-import".
    [[nodiscard]] std::string line() const;
};

[[nodiscard]] GstHlUpstream gst_hl_look_upstream(GstPad *sink);
