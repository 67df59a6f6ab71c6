// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <gst/gst.h>

// Video that our elements do not take is refused by its caps event, and in words: GStreamer's own refusals, of a link
// or by "not-negotiated", do not say what helps. For that such caps have to arrive, so CAPS and ACCEPT_CAPS queries say
// yes to all raw video, and name what is taken as long as upstream has a choice.

// Whether a pad whose template has the caps `taken` takes these fixed caps: one of its formats, progressive (as caps
// are that say nothing). Else FormatUnsupported, whose remedy ends with a piece of pipeline that does, such as
// "... ! deinterlace ! hlinfer", with `element` (a factory's name) at its end, where one is known.
[[nodiscard]] hl::Status gst_hl_check_input(const GstCaps *caps, const GstCaps *taken, const gchar *element);

// Completes a CAPS or ACCEPT_CAPS query that `pad` has answered as GStreamer would, or not (`answered`). On a sink pad
// interlaced modes are left out of the answer where there are others, and raw video that is not taken is put into it if
// nothing else would be left of the query's filter; but nothing that comes with metas, nor in other memory if the
// peer's template has what is taken, for then upstream has a choice. A source pad of which upstream leaves nothing
// answers with its template, so that it can be linked. Returns whether the query is answered.
[[nodiscard]] gboolean gst_hl_complete_caps_query(GstPad *pad, GstQuery *query, gboolean answered);
