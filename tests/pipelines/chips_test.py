#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole line on each simulated chip: up, inference in place, and down again, bit for bit.

The witness of the counters is the frame itself: noise that comes back equal was moved, and the sink's memory is host memory.
"""
import os
import unittest

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
import numpy as np  # noqa: E402
from gi.repository import Gst, GstApp, GstVideo  # noqa: E402,F401

FRAMES, WIDTH, HEIGHT = 24, 322, 242
LINE = (f"appsrc name=source format=time caps=video/x-raw,format=NV12,width={WIDTH},height={HEIGHT},framerate=30/1 ! "
        "hlupload name=upload ! hlinfer name=infer model=builtin:demo ! hldownload name=download ! "
        "video/x-raw,format=NV12 ! appsink name=sink sync=false")
CHIPS = {"gaudi2": "Gaudi2", "gaudi": "Gaudi"}


def planes_of(data, offsets, strides):
    """The samples of an NV12 frame, without what lies between its rows."""
    return [np.concatenate([np.frombuffer(data, np.uint8, WIDTH, offsets[plane] + row * strides[plane]) for row in range(rows)])
            for plane, rows in ((0, HEIGHT), (1, HEIGHT // 2))]


def stats(pipeline, name):
    structure = pipeline.get_by_name(name).get_property("stats")
    return {structure.nth_field_name(i): structure.get_value(structure.nth_field_name(i)) for i in range(structure.n_fields())}


class Chips(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        Gst.init(None)

    def tearDown(self):
        os.environ.pop("HL_SIM_CHIP", None)

    def play(self, chip):
        # A device of its own: the last chip's object lives until its last thread has let go of it.
        os.environ.update(HL_SIM_CHIP=chip, HL_DEVICE=f"sim:chips_test.{os.getpid()}.{chip}")
        pipeline = Gst.parse_launch(LINE)
        info = GstVideo.VideoInfo.new_from_caps(pipeline.get_by_name("source").get_property("caps"))
        random = np.random.default_rng(20260101)
        source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        sent = []
        for i in range(FRAMES):
            data = random.integers(0, 256, info.size, np.uint8).tobytes()
            sent.append(planes_of(data, info.offset, info.stride))
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = i * Gst.SECOND // 30
            source.push_buffer(buffer)
        source.end_of_stream()
        came = 0
        while (sample := sink.try_pull_sample(60 * Gst.SECOND)) is not None:
            buffer = sample.get_buffer()
            meta = GstVideo.buffer_get_video_meta(buffer)
            self.assertIsNotNone(meta, "a frame without its layout")
            got = planes_of(buffer.extract_dup(0, buffer.get_size()), meta.offset, meta.stride)
            for plane in range(2):
                self.assertTrue(np.array_equal(got[plane], sent[came][plane]), f"{chip}: frame {came}, plane {plane}")
            came += 1
        error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        self.assertIsNone(error, error and error.parse_error())
        self.assertEqual(came, FRAMES)
        seen = {name: stats(pipeline, name) for name in ("upload", "infer", "download")}
        pipeline.set_state(Gst.State.NULL)
        return seen

    def test_frames_come_back_equal_and_are_counted(self):
        for chip, name in CHIPS.items():
            with self.subTest(chip=chip):
                seen = self.play(chip)
                self.assertEqual(seen["infer"]["chip"], name)
                self.assertEqual(seen["infer"]["stand-in"], "SIM")
                self.assertIn(f"SIM {name}", seen["infer"]["headline"])
                self.assertEqual(seen["infer"]["placement"], "device")
                self.assertEqual(seen["infer"]["inferred"], FRAMES)
                self.assertEqual(seen["upload"]["uploads"], FRAMES)
                self.assertEqual(seen["download"]["downloads"], FRAMES)
                frame = WIDTH * HEIGHT * 3 // 2
                self.assertEqual(seen["upload"]["upload-bytes"], FRAMES * frame)
                self.assertEqual(seen["download"]["download-bytes"], FRAMES * frame)
                for element, counted in (("upload", "downloads"), ("infer", "uploads"), ("infer", "downloads"),
                                         ("infer", "read-backs"), ("infer", "cpu-copies"), ("download", "uploads"),
                                         ("download", "cpu-copies")):
                    self.assertEqual(seen[element][counted], 0, f"{element}: {counted}")
                print(f"{name}: {FRAMES} frames of {frame} bytes equal, uploads {seen['upload']['uploads']}, "
                      f"downloads {seen['download']['downloads']}")

    def test_an_unknown_chip_is_named(self):
        os.environ.update(HL_SIM_CHIP="goya", HL_DEVICE=f"sim:chips_test.{os.getpid()}.goya")
        pipeline = Gst.parse_launch(LINE)
        self.assertEqual(pipeline.set_state(Gst.State.PLAYING), Gst.StateChangeReturn.FAILURE)
        error, _ = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR).parse_error()
        pipeline.set_state(Gst.State.NULL)
        self.assertIn("HL-DEV-007", error.message)
        self.assertIn('HL_SIM_CHIP="goya"', error.message)


if __name__ == "__main__":
    unittest.main()
