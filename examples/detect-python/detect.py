#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints what hlinfer finds in a video, one line of JSON a frame. Usage: detect.py FILE [MODEL]; needs Debian's python3-gi and gir1.2-gst-plugins-bad-1.0."""
import json
import signal
import sys

import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
from gi.repository import GLib, Gst, GstAnalytics  # noqa: E402


def on_frame(_pad, info):
    buffer, found = info.get_buffer(), []
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    for i in range(GstAnalytics.relation_get_length(meta) if meta else 0):
        is_box, box = meta.get_od_mtd(i)
        if is_box:
            _, x, y, w, h, score = box.get_location()
            found.append({"label": GLib.quark_to_string(box.get_obj_type()), "score": round(score, 4), "box": {"x": x, "y": y, "w": w, "h": h}})
    print(json.dumps({"pts": None if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts, "detections": found}), flush=True)
    return Gst.PadProbeReturn.OK


if len(sys.argv) not in (2, 3):
    sys.exit("usage: detect.py FILE [MODEL]")
Gst.init(None)
pipeline = Gst.parse_launch("uridecodebin3 name=file ! hlinfer name=infer ! hltensordec name=decode ! fakesink")
pipeline.get_by_name("file").set_property("uri", Gst.filename_to_uri(sys.argv[1]))
pipeline.get_by_name("infer").set_property("model", sys.argv[2] if len(sys.argv) > 2 else "builtin:demo")
pipeline.get_by_name("decode").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, on_frame)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends at once
pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
if message.type == Gst.MessageType.ERROR:
    sys.exit(f"error: {message.src.get_name()}: {message.parse_error()[0].message}")
