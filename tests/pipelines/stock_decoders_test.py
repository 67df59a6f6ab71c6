#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""GStreamer 1.28's own inference and decoders beside ours, on the same scenes: they link by the tensors in caps, and find the same boxes.

Usage: stock_decoders_test.py PATH-OF-examples/models
"""
import pathlib
import sys
import unittest

MODELS = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(MODELS))

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstAnalytics, GstApp  # noqa: E402,F401

from scenes import LABELS, clip  # noqa: E402

# Stock decoders give boxes in pixels of the model's image: frames of its size are frames in which they are right.
SIDE, FRAMES, SEEDS = 320, 60, (20260102, 20260107)     # two scenes, which have all classes between them
CAPS = f"video/x-raw,format=RGB,width={SIDE},height={SIDE},framerate=30/1"
SOURCE = f"appsrc name=source format=time caps={CAPS} ! "
STOCK = f"yolov8tensordec class-confidence-threshold=0.5 iou-threshold=0.5 label-file={MODELS}/demo.labels.txt"
OURS = "hltensordec score-threshold=0.5 iou-threshold=0.5 class-aware-nms=false"


def boxes(buffer):
    """(label, x0, y0, x1, y1, score) of each detection, clipped to the frame as ours are, sorted."""
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    out = []
    for i in range(GstAnalytics.relation_get_length(meta) if meta else 0):
        found, box = meta.get_od_mtd(i)
        if found:
            _, x, y, w, h, score = box.get_location()
            out.append((GLib.quark_to_string(box.get_obj_type()), max(x, 0), max(y, 0), min(x + w, SIDE), min(y + h, SIDE), score))
    return sorted(out, key=lambda box: -box[5])


class Line:
    """A pipeline that is fed the scenes; every appsink is read to its end."""

    def __init__(self, description):
        self.pipeline = Gst.parse_launch(description)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipeline.set_state(Gst.State.NULL)

    def __getitem__(self, name):
        return self.pipeline.get_by_name(name)

    def play(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        scenes = (frame for seed in SEEDS for frame, _ in clip(seed, FRAMES // len(SEEDS), SIDE, SIDE, 30))
        for i, frame in enumerate(scenes):
            buffer = Gst.Buffer.new_wrapped(frame.tobytes())
            buffer.pts = i * Gst.SECOND // 30
            self["source"].push_buffer(buffer)
        self["source"].end_of_stream()
        message = self.pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.ERROR | Gst.MessageType.EOS)
        if message is None:
            raise AssertionError("neither EOS nor an error within 60 s")
        if message.type == Gst.MessageType.ERROR:
            raise RuntimeError(message.parse_error()[0].message)

    def frames(self, sink):
        out = []
        while (sample := self[sink].try_pull_sample(0)) is not None:
            out.append(boxes(sample.get_buffer()))
        return out

    def caps(self, element, pad):
        return self[element].get_static_pad(pad).get_current_caps()


def sink(name):
    return f"appsink name={name} sync=false wait-on-eos=false"  # its frames are read behind EOS


def tensors(caps):
    return caps.get_structure(0).get_value("tensors")


class StockDecoders(unittest.TestCase):
    def assert_same(self, ours, theirs, pixels=1, score=1e-5):
        self.assertEqual(len(ours), FRAMES)
        self.assertEqual(len(theirs), FRAMES)
        worst = 0
        for number, (mine, other) in enumerate(zip(ours, theirs)):
            self.assertEqual([box[0] for box in mine], [box[0] for box in other], f"labels of frame {number}")
            for a, b in zip(mine, other):
                worst = max(worst, *(abs(p - q) for p, q in zip(a[1:5], b[1:5])))
                self.assertLessEqual(abs(a[5] - b[5]), score, f"frame {number}: {a} {b}")
        self.assertLessEqual(worst, pixels)
        every = [box for frame in ours for box in frame]
        self.assertEqual({box[0] for box in every}, set(LABELS))
        print(f"{len(every)} boxes in {FRAMES} frames, {worst} pixels apart at most")

    def test_a_stock_decoder_finds_what_ours_finds(self):
        with Line(f"{SOURCE} hlinfer name=infer model=builtin:demo ! tee name=split ! queue ! {OURS} ! {sink('ours')} "
                  f"split. ! queue ! {STOCK} ! {sink('theirs')}") as line:
            line.play()
            self.assert_same(line.frames("ours"), line.frames("theirs"))

    def test_stock_inference_runs_the_demo_by_its_description(self):
        with Line(f"{SOURCE} tee name=split ! queue ! onnxinference name=stock model-file={MODELS}/demo.onnx ! {STOCK} ! {sink('theirs')} "
                  f"split. ! queue ! hlinfer name=infer model=builtin:demo ! {OURS} ! {sink('ours')}") as line:
            line.play()
            ours, theirs = tensors(line.caps("infer", "src")), tensors(line.caps("stock", "src"))
            self.assertTrue(ours.is_equal(theirs), f"{ours.to_string()} {theirs.to_string()}")
            self.assertTrue(ours.has_field("yolo-v8-out"))
            self.assert_same(line.frames("ours"), line.frames("theirs"), score=1e-3)

    def test_ours_decodes_behind_stock_inference(self):
        with Line(f"{SOURCE} onnxinference model-file={MODELS}/demo.onnx ! tee name=split ! queue ! {OURS} labels={MODELS}/demo.labels.txt ! {sink('ours')} "
                  f"split. ! queue ! {STOCK} ! {sink('theirs')}") as line:
            line.play()
            self.assert_same(line.frames("ours"), line.frames("theirs"))

    def test_the_stock_bin_finds_the_decoder_by_caps(self):
        with Line(f"{SOURCE} hlinfer model=builtin:demo ! tensordecodebin name=bin ! {sink('theirs')}") as line:
            line.play()
            chosen = [element.get_factory().get_name() for element in line["bin"].iterate_elements()]
            self.assertEqual(chosen, ["yolov8tensordec"])
            self.assertGreater(sum(len(frame) for frame in line.frames("theirs")), FRAMES)

    def test_plain_elements_take_the_caps(self):
        for behind in (f"{CAPS} ! objectdetectionoverlay ! videoconvert ! video/x-raw,format=NV12",
                       f"{OURS} name=decode ! objectdetectionoverlay ! videoscale ! video/x-raw,width=160,height=160",
                       f"{OURS} name=decode ! hlupload ! hldownload ! objectdetectionoverlay"):
            with self.subTest(behind), Line(f"{SOURCE} hlinfer name=infer model=builtin:demo ! {behind} ! fakesink sync=false") as line:
                line.play()
                self.assertIsNone(tensors(line.caps("infer", "sink")))
                self.assertIsNotNone(tensors(line.caps("infer", "src")))
                if line["decode"]:
                    self.assertIsNone(tensors(line.caps("decode", "src")))


if __name__ == "__main__":
    Gst.init(None)
    unittest.main(verbosity=2)
