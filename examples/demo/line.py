# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's line: stock elements around ours, run once from start to end."""
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
from gi.repository import GLib, Gst, GstAnalytics  # noqa: E402

SHOW = "tee name=split ! queue ! videoconvert ! autovideosink split. ! queue ! "
ENCODE = "videoconvert ! x264enc speed-preset=veryfast bitrate=2048 ! h264parse ! mp4mux ! filesink location={target}"
LINE = ("filesrc location={source} ! decodebin3 ! hlupload name=upload{device} ! hlinfer name=infer model=builtin:demo{device} ! "
        "hltensordec name=decode score-threshold=0.5 ! hldownload name=download ! objectdetectionoverlay ! ")


def run(source, target, device, window):
    """Plays `source` through the line into `target`; returns the detections of every frame and what the elements counted."""
    Gst.init(None)
    text = (LINE + (SHOW if window else "") + ENCODE).format(source=source, target=target, device=f" device={device}" if device else "")
    try:
        pipeline = Gst.parse_launch(text)
    except GLib.Error as error:
        raise RuntimeError(f"the line cannot be built: {error.message}") from error

    detections = []
    pad = pipeline.get_by_name("decode").get_static_pad("src")
    pad.add_probe(Gst.PadProbeType.BUFFER, _collect, detections)
    begin = time.monotonic()
    pipeline.set_state(Gst.State.PLAYING)
    try:
        _wait(pipeline, detections)
        seconds = time.monotonic() - begin
        stats = pipeline.get_by_name("infer").get_property("stats")
    finally:
        pipeline.set_state(Gst.State.NULL)
    return {
        "line": text,
        "detections": detections,
        "fps": len(detections) / seconds,
        "backend": stats.get_value("backend"),
        "stand_in": stats.get_value("stand-in"),
        "placement": stats.get_value("placement"),
        "latency": {f"{p}_ms": stats.get_value(f"total-{p}") / 1e6 for p in ("p50", "p95", "p99")},
    }


def _wait(pipeline, frames):
    """Until EOS; prints what the elements have to say on the way. A line in which no frame moves for a minute is given up."""
    bus = pipeline.get_bus()
    seen = -1
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING | Gst.MessageType.INFO
    while True:
        message = bus.timed_pop_filtered(60 * Gst.SECOND, wanted)
        if message is None:
            if len(frames) == seen:
                raise RuntimeError(f"the line stands still: no message and no frame for 60 s, after {seen} frames")
            seen = len(frames)
            continue
        if message.type == Gst.MessageType.EOS:
            return
        if message.type == Gst.MessageType.ERROR:
            error, debug = message.parse_error()
            raise RuntimeError(f"{message.src.get_name()}: {error.message}\n{debug}")
        note, _ = message.parse_warning() if message.type == Gst.MessageType.WARNING else message.parse_info()
        print(f"  {message.src.get_name()}: {note.message}", flush=True)


def _collect(_pad, info, detections):
    boxes = []
    meta = GstAnalytics.buffer_get_analytics_relation_meta(info.get_buffer())
    for i in range(GstAnalytics.relation_get_length(meta) if meta else 0):
        found, box = meta.get_od_mtd(i)
        if not found:
            continue
        _, x, y, w, h, score = box.get_location()
        boxes.append({"label": GLib.quark_to_string(box.get_obj_type()), "x": x, "y": y, "w": w, "h": h, "score": score})
    detections.append(boxes)
    return Gst.PadProbeReturn.OK
