#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads from Python what hltensordec found, behind a tee, on scenes whose truth is known.

Usage: detections_test.py PATH-OF-examples/models
"""
import sys

sys.path.insert(0, sys.argv[1])

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstAnalytics, GstApp  # noqa: E402,F401

from evaluate import evaluate  # noqa: E402
from scenes import LABELS, clip  # noqa: E402

FRAMES, WIDTH, HEIGHT, SEED = 60, 640, 480, 20260101
LINE = (f"appsrc name=source format=time caps=video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=30/1 ! "
        "hlinfer model=builtin:demo ! tee name=split ! queue ! hltensordec ! appsink name=sink sync=false "
        "split. ! queue ! fakesink sync=false")


def boxes(buffer):
    """The detections of one frame, in evaluate's form."""
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    if not meta:
        raise AssertionError("a frame has no GstAnalyticsRelationMeta")
    out = []
    for i in range(GstAnalytics.relation_get_length(meta)):
        found, box = meta.get_od_mtd(i)
        if found:
            _, x, y, w, h, score = box.get_location()
            out.append({"label": GLib.quark_to_string(box.get_obj_type()), "x": x, "y": y, "w": w, "h": h, "score": score})
    return out


def main():
    Gst.init(None)
    pipeline = Gst.parse_launch(LINE)
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    truth, detections = [], []
    for i, (frame, objects) in enumerate(clip(SEED, FRAMES, WIDTH, HEIGHT, 30)):
        buffer = Gst.Buffer.new_wrapped(frame.tobytes())
        buffer.pts = i * Gst.SECOND // 30
        source.push_buffer(buffer)
        truth.append(objects)
    source.end_of_stream()
    while (sample := sink.try_pull_sample(60 * Gst.SECOND)) is not None:
        detections.append(boxes(sample.get_buffer()))
    error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)

    assert error is None, error.parse_error()
    assert len(detections) == FRAMES, f"{len(detections)} frames of {FRAMES}"
    labels = {box["label"] for frame in detections for box in frame}
    assert labels and labels <= set(LABELS), f"labels {labels}"  # the model's own, asked for through the tee
    for frame in detections:
        for box in frame:
            assert 0 <= box["x"] and box["x"] + box["w"] <= WIDTH and box["w"] > 0, box
            assert 0 <= box["y"] and box["y"] + box["h"] <= HEIGHT and box["h"] > 0, box
            assert 0.5 <= box["score"] <= 1, box
    score = evaluate(detections, truth)
    print(f"precision {score['precision']:.4f}, recall {score['recall']:.4f}, labels {sorted(labels)}")
    assert score["precision"] >= 0.9 and score["recall"] >= 0.9
    return 0


if __name__ == "__main__":
    sys.exit(main())
