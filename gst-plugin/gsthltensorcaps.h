// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlptr.h"
#include "inference/engine.h"

#include <gst/gst.h>

// What an inference element of GStreamer 1.28 says of its tensors in the caps behind it, so that decoders link and
// tensordecodebin finds one:
//   video/x-raw, ..., tensors=(structure)[tensorgroups, GROUP=(/uniquelist){(GstCaps)[tensor/strided, tensor-id=ID,
//   dims=<1,9,2100>, dims-order=col-major, type=float32], ...}]
// (gst-plugins-bad 1.28 gstonnxinference.c). The field belongs to the source side alone: nobody in front of the element
// sees it. Empty, and of no effect, before GStreamer 1.28, and for models without outputs or without a group id in
// their description. Any thread.
class GstHlTensorCaps {
public:
    GstHlTensorCaps() = default;
    explicit GstHlTensorCaps(const hl::EngineInfo &info);

    // `caps` of the sink side as they are on the source side: beside what elements upstream say of other groups, and in
    // place of what they say of the same, because the nearest network's tensors are decoded.
    [[nodiscard]] GstPtr<GstCaps> add(GstCaps *caps) const;
    // `caps` of the source side as upstream is asked for them; what asks for other tensors is left out.
    [[nodiscard]] GstPtr<GstCaps> remove(GstCaps *caps) const;

    // `caps` without the field, whatever it says: behind an element that has decoded the tensors.
    [[nodiscard]] static GstPtr<GstCaps> drop(GstCaps *caps);

    // The CAPS event of the source side for the one that came in; never null.
    [[nodiscard]] GstPtr<GstEvent> add(GstPtr<GstEvent> event) const;

    // Answers the CAPS and ACCEPT_CAPS queries that `pad` gets, by asking the peer of `other`; one of them is the sink
    // pad and the other the source pad of an element that changes nothing else in caps. False for other queries, and
    // where this is empty.
    [[nodiscard]] bool answer(GstPad *pad, GstPad *other, GstQuery *query) const;

private:
    [[nodiscard]] GstPtr<GstCaps> to_other(GstPad *pad, GstCaps *caps) const;
    [[nodiscard]] GstPtr<GstCaps> from_other(GstPad *pad, GstCaps *caps) const;

    GstPtr<GstCaps> caps_; // video/x-raw(ANY) with the field
};
