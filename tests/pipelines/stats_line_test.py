#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""gst-launch-1.0 -v prints each element's stats once, at EOS; an application is told of them when an element stops, too.

The counters are held against the memory that frames lay in at each pad, as the tracer hlcopies tells it apart by inode, and against a pad probe that counts frames.
"""
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
FRAMES, WIDTH, HEIGHT = 40, 320, 240
BYTES = WIDTH * HEIGHT * 3 // 2
CAPS = f"video/x-raw,format=NV12,width={WIDTH},height={HEIGHT},framerate=30/1"
LINE = "hlupload name=upload ! hlinfer name=infer model=builtin:demo ! hltensordec name=dec ! hldownload name=download"
COUNTERS = ("cpu-copies", "uploads", "downloads", "p2p", "read-backs")
COUNTER_BYTES = ("cpu-copy-bytes", "upload-bytes", "download-bytes", "p2p-bytes", "read-back-bytes")
STAGES = {"upload": ("copy", "transfer", "total"), "infer": ("copy", "transfer", "queue", "infer", "total"), "download": ("copy", "transfer", "total")}
ELEMENTS = (*STAGES, "dec")


def value(structure, field):
    found = structure.get_value(field)
    if found is None:
        raise AssertionError(f"{structure.get_name()} has no {field}")
    return found


def launch(source, folder):
    """What gst-launch-1.0 -v prints of `stats`: element, list of structures. And the tracer's hops, by element."""
    hops = Path(folder, "hops.json")
    done = subprocess.run(["gst-launch-1.0", "-v", *f"{source} ! {CAPS} ! {LINE} ! fakesink".split()],
                          env={**os.environ, "GST_TRACERS": f"hlcopies(file={hops},format=json)"}, capture_output=True, text=True, timeout=100, check=True)
    printed = {}
    for name, text in re.findall(r"^/GstPipeline:\w+/\w+:(\w+): stats = (.+)$", done.stdout, re.MULTILINE):
        if name in ELEMENTS:
            printed.setdefault(name, []).append(Gst.Structure.from_string(text)[0])
    return printed, {hop["element"]: hop for hop in json.loads(hops.read_text(encoding="utf-8"))["hops"]}


class Launch(unittest.TestCase):
    def check_line(self, printed, copies):
        self.assertEqual(set(printed), set(ELEMENTS))
        self.assertEqual([(value(stats, "frames"), value(stats, "decoded")) for stats in printed.pop("dec")], [(FRAMES, FRAMES)])
        moved = {"upload": {"uploads": FRAMES, "cpu-copies": copies}, "infer": {}, "download": {"downloads": FRAMES}}
        for name, structures in printed.items():
            with self.subTest(name):
                self.assertEqual(len(structures), 1, "once, at EOS")
                stats = structures[0]
                self.assertEqual(value(stats, "frames"), FRAMES)
                self.assertGreater(value(stats, "fps"), 0)
                self.assertEqual((value(stats, "backend"), value(stats, "stand-in")), ("sim", "SIM"))
                for stage in STAGES[name]:
                    p50, p95, p99 = (value(stats, f"{stage}-{q}") for q in ("p50", "p95", "p99"))
                    self.assertTrue(p50 <= p95 <= p99, stage)
                self.assertGreater(value(stats, "total-p50"), 0)
                for counter, in_bytes in zip(COUNTERS, COUNTER_BYTES):
                    count = moved[name].get(counter, 0)
                    self.assertEqual((counter, value(stats, counter), value(stats, in_bytes)), (counter, count, count * BYTES))
        self.assertGreater(value(printed["upload"][0], "transfer-p50"), 0)
        self.assertGreater(value(printed["download"][0], "transfer-p50"), 0)
        self.assertGreater(value(printed["infer"][0], "infer-p50"), 0)
        self.assertEqual(value(printed["upload"][0], "copy-p50") > 0, copies > 0)

    def check_memories(self, hops, before):
        """Where frames lay, which no counter of ours knows."""
        self.assertEqual([(hops[name]["memory"], hops[name]["identity"], hops[name]["frames"]) for name in ("upload", "infer", "download")],
                         [("device", "new", FRAMES), ("device", "passed", FRAMES), ("host", "new", FRAMES)])
        self.assertEqual(hops[before]["memory"], "host" if before == "videotestsrc0" else "system")

    def test_a_line_without_cpu_copies(self):
        with tempfile.TemporaryDirectory() as folder:
            printed, hops = launch(f"videotestsrc num-buffers={FRAMES}", folder)
        self.check_line(printed, copies=0)
        self.check_memories(hops, "videotestsrc0")
        self.assertEqual([value(printed[name][0], "placement") for name in ("upload", "infer", "download")], ["host", "device", "device"])

    def test_a_line_with_cpu_copies(self):
        with tempfile.TemporaryDirectory() as folder:
            printed, hops = launch(f"videotestsrc num-buffers={FRAMES} ! {CAPS} ! identity drop-allocation=true", folder)
        self.check_line(printed, copies=FRAMES)
        self.check_memories(hops, "identity0")
        self.assertEqual(value(printed["upload"][0], "placement"), "system")


class Application(unittest.TestCase):
    def test_told_at_eos_and_at_the_stop(self):
        pipeline = Gst.parse_launch(f"videotestsrc num-buffers={FRAMES} ! {CAPS} ! {LINE} ! fakesink name=sink")
        told = {name: [] for name in ELEMENTS}
        for name, seen in told.items():
            pipeline.get_by_name(name).connect("notify::stats", lambda element, _, seen=seen: seen.append(value(element.get_property("stats"), "frames")))
        pipeline.set_state(Gst.State.PLAYING)
        message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        self.assertEqual(message.type, Gst.MessageType.EOS)
        self.assertEqual(told, {name: [FRAMES] for name in ELEMENTS})
        pipeline.set_state(Gst.State.NULL)
        self.assertEqual(told, {name: [FRAMES, FRAMES] for name in ELEMENTS})

    def test_told_at_a_stop_without_eos(self):
        pipeline = Gst.parse_launch(f"videotestsrc ! {CAPS} ! {LINE} ! appsink name=sink max-buffers=1 sync=false")
        passed = dict.fromkeys(ELEMENTS, 0)
        told = {}

        def count(_, __, name):
            passed[name] += 1
            return Gst.PadProbeReturn.OK
        for name in ELEMENTS:
            element = pipeline.get_by_name(name)
            element.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, count, name)
            element.connect("notify::stats", lambda sender, _, name=name: told.setdefault(name, []).append(value(sender.get_property("stats"), "frames")))
        pipeline.set_state(Gst.State.PAUSED)
        self.assertEqual(pipeline.get_state(60 * Gst.SECOND)[0], Gst.StateChangeReturn.SUCCESS)
        self.assertEqual(told, {})
        pipeline.set_state(Gst.State.NULL)
        for name in ELEMENTS:
            self.assertEqual(len(told[name]), 1)
            self.assertIn(told[name][0] - passed[name], (0, 1), "a frame that was refused at the stop has been counted")
            self.assertGreater(passed[name], 0)


if __name__ == "__main__":
    unittest.main()
