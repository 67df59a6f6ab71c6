#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each decoder of hltensordec against its reference in numpy (decoders.py), on the very tensors that it got.

Usage: decoders_test.py PATH-OF-examples/models PATH-OF-test-models

Lines of appsrc ! hlinfer ! tee, one branch of which gives the tensors as they are, and each other one goes through a
hltensordec with other properties. Equal means: the same objects in the same order, scores to 1e-6, boxes to a pixel
(the two round floats of another width), and each cell of a mask whose sum is not within 1e-3 of zero.
"""
import itertools
import sys
import unittest

MODELS, TEST_MODELS = sys.argv[1:3]
sys.path.insert(0, MODELS)

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstAnalytics, GstApp, GstVideo  # noqa: E402,F401
import numpy as np  # noqa: E402

import decoders  # noqa: E402
from decoders import Frame, Options  # noqa: E402
from make_test_models import SEG_IDS, SORTS, SSD_IDS  # noqa: E402
from scenes import LABELS, clip  # noqa: E402

PROPERTIES = {"score": "score-threshold", "iou": "iou-threshold", "class_aware": "class-aware-nms", "wanted": "classes",
              "max_candidates": "max-candidates", "max_detections": "max-detections", "top_k": "top-k"}
DTYPES = {GstAnalytics.TensorDataType.FLOAT32: np.float32, GstAnalytics.TensorDataType.UINT8: np.uint8,
          GstAnalytics.TensorDataType.INT64: np.int64}

# What each branch decodes: the properties that choose it, and the reference.
KINDS = {
    "yolov8": ("decoder=yolov8", lambda t, f, o: decoders.yolov8(t["yolo-v8-out"], f, o)),
    "yolov5": ("decoder=yolov5", lambda t, f, o: decoders.yolov5(t["yolo-v5-out"], f, o)),
    "ssd": ("decoder=ssd", lambda t, f, o: decoders.ssd(*(t[i] for i in SSD_IDS), f, o)),
    "yolov8-seg": ("decoder=yolov8-seg", lambda t, f, o: decoders.yolov8_seg(*(t[i] for i in SEG_IDS), f, o)),
    "logits": ("decoder=classifier", lambda t, f, o: decoders.classifier(t["classification-generic-out"], o, True)),
    "probabilities": ("decoder=classifier softmax=off tensor-id=classification-generic-softmaxed-out",
                      lambda t, f, o: decoders.classifier(t["classification-generic-softmaxed-out"], o, False)),
}
BOXES = ("yolov8", "yolov5", "yolov8-seg")


def tensors_of(buffer):
    """By id."""
    meta = GstAnalytics.buffer_get_tensor_meta(buffer)
    out = {}
    for i in range(meta.num_tensors):
        tensor = meta.get(i)
        data = tensor.data.extract_dup(0, tensor.data.get_size())
        out[GLib.quark_to_string(tensor.id)] = np.frombuffer(data, DTYPES[tensor.data_type]).reshape(tensor.get_dims())
    return out


def mask_of(segmentation):
    picture, x, y, w, h = segmentation.get_mask()
    video = GstVideo.buffer_get_video_meta(picture)
    assert video.format == GstVideo.VideoFormat.GRAY8 and video.stride[0] == video.width
    cells = np.frombuffer(picture.extract_dup(0, picture.get_size()), np.uint8).reshape(video.height, video.width)
    regions = [segmentation.get_region_id(i) for i in range(segmentation.get_region_count())]
    return {"box": (x, y, w, h), "cells": cells, "regions": regions}


def metas_of(buffer):
    """(objects with label, box, score and perhaps mask; classes with label and score) of a frame."""
    relations = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    if relations is None:
        raise AssertionError("a frame has no GstAnalyticsRelationMeta")
    objects, classes = {}, []
    count = GstAnalytics.relation_get_length(relations)
    for i in range(count):
        found, box = relations.get_od_mtd(i)
        if found:
            _, x, y, w, h, score = box.get_location()
            objects[i] = {"label": GLib.quark_to_string(box.get_obj_type()), "box": (x, y, w, h), "score": score}
        found, named = relations.get_cls_mtd(i)
        if found:
            classes += [{"label": GLib.quark_to_string(named.get_quark(k)), "score": named.get_level(k)}
                        for k in range(named.get_length())]
        found, segmentation = relations.get_segmentation_mtd(i)
        if found:
            (owner,) = [o for o in objects if relations.get_relation(o, i) == GstAnalytics.RelTypes.RELATE_TO]
            assert relations.get_relation(i, owner) == GstAnalytics.RelTypes.RELATE_TO
            objects[owner]["mask"] = mask_of(segmentation)
    return list(objects.values()), classes


def properties(options):
    text = []
    for field, name in PROPERTIES.items():
        value = getattr(options, field)
        if value != getattr(Options, field):
            text.append(f"{name}={','.join(map(str, value)) if field == 'wanted' else value}")
    return " ".join(text)


class Line:
    """Runs frames (RGB arrays of one size) through a model and its branches."""

    def __init__(self, model, branches, width, height):
        self.branches = branches
        text = (f"appsrc name=source format=time caps=video/x-raw,format=RGB,width={width},height={height},framerate=30/1 ! "
                f"hlinfer model={model} ! tee name=split ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! "
                "appsink name=raw sync=false ")
        for i, (kind, options) in enumerate(branches):
            text += ("split. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! "
                     f"hltensordec name=dec{i} {KINDS[kind][0]} {properties(options)} ! appsink name=sink{i} sync=false ")
        self.pipeline = Gst.parse_launch(text)

    def run(self, frames):
        """[(tensors, [metas of each branch])] of each frame; stats() after it."""
        source = self.pipeline.get_by_name("source")
        self.pipeline.set_state(Gst.State.PLAYING)
        for i, frame in enumerate(frames):
            buffer = Gst.Buffer.new_wrapped(frame.tobytes())
            buffer.pts = i * Gst.SECOND // 30
            source.push_buffer(buffer)
        source.end_of_stream()
        sinks = [self.pipeline.get_by_name(name) for name in ["raw"] + [f"sink{i}" for i in range(len(self.branches))]]
        out = []
        for _ in frames:
            samples = list(itertools.takewhile(bool, (sink.try_pull_sample(60 * Gst.SECOND) for sink in sinks)))
            if len(samples) < len(sinks):
                break
            raw, *decoded = [sample.get_buffer() for sample in samples]
            out.append((tensors_of(raw), [metas_of(buffer) for buffer in decoded]))
        error = self.pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        assert error is None, error.parse_error()
        assert len(out) == len(frames), f"{len(out)} frames of {len(frames)}"
        return out

    def stats(self, branch):
        return self.pipeline.get_by_name(f"dec{branch}").get_property("stats")

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)


class Decoders(unittest.TestCase):
    def same_mask(self, got, want, tensors, frame, number):
        self.assertEqual(got["mask"]["box"], got["box"])
        region = number % 255 + 1
        self.assertEqual(got["mask"]["regions"], [0, region])
        sums = decoders.mask_sums(got["box"], want["coefficients"], tensors[SEG_IDS[1]], frame)
        self.assertEqual(got["mask"]["cells"].shape, sums.shape)
        clear = np.abs(sums) > 1e-3
        np.testing.assert_array_equal(got["mask"]["cells"][clear], np.where(sums > 0, region, 0)[clear])

    def same(self, kind, metas, wanted, tensors, frame, labels):
        """How many objects or classes were compared."""
        objects, classes = metas
        got = classes if kind in ("logits", "probabilities") else objects
        name = (lambda c: labels[c]) if labels else (lambda c: f"class-{c}")
        self.assertEqual([g["label"] for g in got], [name(w["class"]) for w in wanted])
        for number, (g, w) in enumerate(zip(got, wanted)):
            self.assertAlmostEqual(g["score"], w["score"], delta=1e-6)
            if "box" in g:
                np.testing.assert_allclose(g["box"], decoders.pixels(w, frame), atol=1)
            if kind == "yolov8-seg":
                self.same_mask(g, w, tensors, frame, number)
        self.assertEqual(len(objects if got is classes else classes), 0)
        return len(got)

    def check(self, model, branches, frames, side, labels=None):
        height, width = frames[0].shape[:2]
        frame = Frame.letterboxed(width, height, side)
        line = Line(model, branches, width, height)
        compared, dropped = [0] * len(branches), [0] * len(branches)
        for number, (tensors, results) in enumerate(line.run(frames)):
            for i, (kind, options) in enumerate(branches):
                with self.subTest(frame=number, kind=kind, options=options, size=(width, height)):
                    wanted, bad = KINDS[kind][1](tensors, frame, options)
                    dropped[i] += bad
                    compared[i] += self.same(kind, results[i], wanted, tensors, frame, labels)
        for i, (kind, options) in enumerate(branches):
            with self.subTest(kind=kind, options=options):
                stats = line.stats(i)
                self.assertEqual(stats.get_uint64("dropped-nonfinite").value, dropped[i])
                self.assertEqual(stats.get_uint64("detections").value + stats.get_uint64("classifications").value,
                                 compared[i])
                self.assertGreater(compared[i], 0)
            print(f"{width}x{height} {kind:13} {compared[i]:5} compared, {dropped[i]:4} dropped  {properties(options)}")
        line.stop()
        return sum(dropped)

    def test_random_tensors(self):
        """Even, tied, crowded, not finite, all and none above the threshold; letterboxed in several ways."""
        branches = [(kind, options) for kind in BOXES for options in
                    (Options(), Options(class_aware=False, iou=0.3), Options(score=0.05, max_detections=1000, iou=0.7),
                     Options(score=0.1, max_candidates=100, max_detections=50), Options(wanted=(1, 4), class_aware=False))]
        branches += [("ssd", options) for options in (Options(), Options(score=0.1, max_detections=10), Options(wanted=(0,), score=0))]
        branches += [(kind, options) for kind in ("logits", "probabilities") for options in
                     (Options(score=0), Options(score=0, top_k=6), Options(score=0.15, top_k=3, wanted=(0, 2, 3, 5)))]
        dropped = 0
        for width, height in ((640, 480), (332, 178), (48, 96)):
            frames = [np.full((height, width, 3), k, np.uint8) for k in range(len(SORTS))]
            dropped += self.check(f"{TEST_MODELS}/bank.onnx", branches, frames, 64)
        self.assertGreater(dropped, 100)

    def test_networks_heads(self):
        """Tensors that a network made of pictures."""
        frames = [frame for frame, _ in clip(3, 6, 320, 240, 30)]
        branches = [(kind, options) for kind in KINDS for options in (Options(score=0.2, top_k=3), Options(score=0.02, class_aware=False, top_k=2))]
        self.check(f"{TEST_MODELS}/heads.onnx", branches, frames, 64, ("alpha", "beta", "gamma"))

    def test_demo_model(self):
        frames = [frame for frame, _ in clip(7, 12, 640, 480, 30)]
        branches = [("yolov8", Options()), ("yolov8", Options(score=0.01, iou=0.9, max_detections=500, wanted=(0, 2)))]
        self.check("builtin:demo", branches, frames, 320, LABELS)

    def test_stock_overlay_draws_segmented_objects(self):
        (frame, _), = clip(3, 1, 320, 240, 30)
        pipeline = Gst.parse_launch(
            "appsrc name=source format=time caps=video/x-raw,format=RGB,width=320,height=240,framerate=30/1 ! "
            f"hlinfer model={TEST_MODELS}/heads.onnx ! hltensordec name=dec score-threshold=0.02 ! videoconvert ! "
            "objectdetectionoverlay ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink sync=false")
        pipeline.set_state(Gst.State.PLAYING)
        source = pipeline.get_by_name("source")
        source.push_buffer(Gst.Buffer.new_wrapped(frame.tobytes()))
        source.end_of_stream()
        buffer = pipeline.get_by_name("sink").try_pull_sample(60 * Gst.SECOND).get_buffer()
        objects, _ = metas_of(buffer)
        drawn = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8).reshape(frame.shape)
        self.assertTrue(objects)
        self.assertTrue(all("mask" in found for found in objects))      # auto: of all heads, the segmentation
        for found in objects:
            x, y, w, h = found["box"]
            self.assertTrue((drawn[y:y + h, x:x + w] != frame[y:y + h, x:x + w]).any())
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    Gst.init(None)
    unittest.main(argv=sys.argv[:1], verbosity=2)
