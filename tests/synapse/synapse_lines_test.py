#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launch lines through the SynapseAI backend, over the double of the vendor's runtime on the driver's node that it plays (DBL). Usage: synapse_lines_test.py SOURCE-ROOT

Each line runs in a process of its own (play() below), as the played node has to be there from its start.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
from gi.repository import GLib, Gst, GstAnalytics  # noqa: E402

COUNTERS = ("cpu-copies", "uploads", "downloads", "p2p", "read-backs")
WORDS = ("backend", "stand-in", "engine", "headline", "preprocess")
BOUND = 60 * Gst.SECOND
FAULTS = ("HL_DBL_FAULTS", "HL_NODE_FAULTS")
FRAMES = 100
CAVEAT = "SynapseAI double: computes on the host"


# --- the process that plays ---

def detections(buffer):
    """[label, x, y, w, h, score] of each."""
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    found = []
    for index in range(GstAnalytics.relation_get_length(meta) if meta else 0):
        is_box, box = meta.get_od_mtd(index)
        if is_box:
            _, *place, score = box.get_location()
            found.append([GLib.quark_to_string(box.get_obj_type()), *place, round(score, 3)])
    return sorted(found)


def once(pipeline, found):
    """From PLAYING to the end, and back to NULL: what was said."""
    said = {"errors": [], "warnings": [], "eos": False, "detections": found}
    found.clear()
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    while (message := bus.timed_pop(BOUND)) is not None:
        if message.type == Gst.MessageType.WARNING:
            said["warnings"].append(message.parse_warning()[0].message)
        if message.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
            break
    infer = pipeline.get_by_name("infer")
    if infer and (stats := infer.get_property("stats")):
        said["counters"] = {name: stats.get_uint64(name)[1] for name in COUNTERS}
        said["words"] = {name: stats.get_string(name) for name in WORDS}
    pipeline.set_state(Gst.State.NULL)
    while message is not None:
        if message.type == Gst.MessageType.ERROR:
            error, debug = message.parse_error()
            said["errors"].append(f"{error.message}\n{debug}")
        said["eos"] = said["eos"] or message.type == Gst.MessageType.EOS
        message = bus.pop()
    return said


def play(line, times):
    """Prints what was said each time, as JSON. What is ordered to fail is so the first time only."""
    Gst.init(None)
    pipeline, found = Gst.parse_launch(line), []

    def seen(_, info):
        found.append(detections(info.get_buffer()))
        if len(found) == 5:
            print(json.dumps("playing"), flush=True)
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, seen)
    for _ in range(times):
        print(json.dumps(once(pipeline, found)), flush=True)
        for name in FAULTS:
            os.environ.pop(name, None)


# --- the test ---

DOUBLE = Path(os.environ["HL_SYNAPSE_DIR"])
RECIPES = Path(os.environ["HL_TEST_RECIPES"])
RECIPE = DOUBLE / "demo-320x240.recipe"
FILM = f"filesrc location={DOUBLE}/demo-320x240.nv12 ! rawvideoparse format=nv12 width=320 height=240 framerate=30/1 ! identity name=ends eos-after={FRAMES + 1}"
SINK = "hltensordec ! fakesink name=sink"


def line(infer="", upload="hlupload device=synapse ! ", film=FILM, sink=SINK, model=RECIPE):
    return f"{film} ! {upload}hlinfer name=infer model={model} {infer or 'device=synapse'} ! {sink}"


# Meson has the dynamic linker find all libraries that a test depends on, wrong doubles among them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}


class Player:
    """A process that plays a line."""

    def __init__(self, text, times=1, **settings):
        preload = " ".join(part for part in (os.environ.get("LD_PRELOAD", ""), os.environ["HL_TEST_NODE"]) if part)
        self.process = subprocess.Popen([sys.executable, __file__, "play", text, str(times)], stdout=subprocess.PIPE, text=True,
                                        env={**ENVIRONMENT, "LD_PRELOAD": preload, "HL_NODE_LOCK": str(FOLDER / "lock"), **settings})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.__exit__(*_)

    def said(self):
        """The next thing; None: it ended."""
        text = self.process.stdout.readline()
        return json.loads(text) if text else None

    def result(self):
        while (said := self.said()) == "playing":
            pass
        return said


def played(text, times=1, **settings):
    with Player(text, times, **settings) as player:
        said = [player.result() for _ in range(times)]
        return said if times > 1 else said[0]


class Lines(unittest.TestCase):
    def whole(self, said, frames=FRAMES):
        self.assertIsNotNone(said, "the process ended")
        self.assertEqual((said["errors"], said["eos"], len(said["detections"])), ([], True, frames))

    def fails(self, said, code, *words):
        self.assertIsNotNone(said, "the process ended")
        ours = [text for text in said["errors"] if text.startswith("HL-")]
        self.assertEqual([text[:len(code)] for text in ours], [code], said["errors"])
        for word in words:
            self.assertIn(word, ours[0])

    def test_finds_what_the_simulator_finds_in_the_same_frames(self):
        said, sim = played(line()), played(line("device=sim", "", model=RECIPE.with_suffix(".onnx")))
        self.whole(said)
        self.whole(sim)
        self.assertEqual(said["detections"], sim["detections"])
        self.assertGreater(sum(map(len, said["detections"])), FRAMES)
        self.assertEqual(said["counters"], dict.fromkeys(COUNTERS, 0))
        self.assertEqual(said["words"], {"backend": "synapse", "stand-in": "DBL", "engine": CAVEAT, "headline": f"frames in HBM, compute on DBL Gaudi2 ({CAVEAT})", "preprocess": "in-model"})
        self.assertEqual({text for text in said["warnings"] if CAVEAT in text}, {f"running on DBL: {CAVEAT}"})

    def test_frames_elsewhere_are_brought_into_hbm_and_counted(self):
        said = played(line(upload=""))
        self.whole(said)
        self.assertEqual(said["counters"], dict.fromkeys(COUNTERS, 0) | {"cpu-copies": FRAMES, "uploads": FRAMES})

    def test_a_runtime_that_cannot_be_used(self):
        for code, settings in (("HL-SYN-001", {"HL_SYNAPSE_DIR": str(FOLDER)}), ("HL-SYN-002", {"HL_SYNAPSE_DIR": os.environ["HL_TEST_OLD_SYNAPSE"]}),
                               ("HL-SYN-003", {"HL_SYNAPSE_DIR": os.environ["HL_TEST_OTHER_SYNAPSE"]}), ("HL-SYN-004", {"HL_DBL_FAULTS": "synInitialize:1=synOutOfResources"})):
            with self.subTest(code):
                self.fails(played(line(), **settings), code)

    def test_recipes_that_do_not_fit(self):
        for name, code, words in (("other-chip", "HL-SYN-006", ()), ("other-release", "HL-SYN-006", ()), ("torn-graph", "HL-SYN-006", ()), ("empty", "HL-SYN-006", ()),
                                  ("good", "HL-SYN-007", ("y uint8 1x4x6x1", "bind="))):
            with self.subTest(name):
                self.fails(played(line(f"device=synapse model-info={RECIPE}.modelinfo", model=RECIPES / f"{name}.recipe")), code, *words)

    def test_a_tensor_that_fits_no_plane(self):
        described = FOLDER / "y.modelinfo"
        described.write_text("[modelinfo]\nversion=1.0\n\n[y]\ndir=input\ntype=uint8\nbind=frame:uv\n", encoding="ascii")
        self.fails(played(line(f"device=synapse model-info={described}", model=RECIPES / "good.recipe")), "HL-SYN-007", "cannot be frame:uv")

    def test_a_workspace_larger_than_hbm(self):
        large = FOLDER / "large.recipe"
        large.write_bytes(make_recipe.recipe(onnx.load(RECIPE.with_suffix(".onnx")), workspace=1 << 40))
        self.fails(played(line(f"device=synapse model-info={RECIPE}.modelinfo", model=large)), "HL-MEM-001", "large.recipe")

    def test_frames_of_another_size(self):
        self.fails(played(line(film=FILM.replace("width=320", "width=640").replace("height=240", "height=120"))), "HL-FMT-001", "320x240")

    def test_a_device_that_another_process_has(self):
        with Player(line(film="videotestsrc is-live=true ! video/x-raw,format=NV12,width=320,height=240")) as owner:
            self.assertEqual(owner.said(), "playing")
            self.fails(played(line()), "HL-DEV-002")
            owner.process.send_signal(signal.SIGKILL)
            owner.process.wait()
            self.whole(played(line()))

    def test_what_fails_in_mid_stream_is_one_error_and_the_line_plays_again(self):
        for code, faults in (("HL-INF-002", "synLaunch:5=synFail"), ("HL-DEV-004", "lost@synLaunch:5"), ("HL-INF-003", "synLaunch:5=stall"), ("HL-DMA-001", "synMemCopyAsyncMultiple:5=synFail")):
            with self.subTest(faults):
                first, second = played(line("device=synapse timeout=2000000000"), 2, HL_DBL_FAULTS=faults)
                self.fails(first, code)
                self.assertTrue(first["detections"], "no frame came before")
                self.whole(second)

    def test_a_reset_of_the_driver_is_one_error_and_the_line_plays_again(self):
        first, second = played(line(), 2, HL_NODE_FAULTS="lost@submit:40")
        self.fails(first, "HL-DEV-004")
        self.assertTrue(first["detections"], "no frame came before")
        self.whole(second)

    def test_a_runtime_that_kills_leaves_a_device_for_the_next_process(self):
        with Player(line(), HL_DBL_FAULTS="lost@synLaunch:20", HL_DBL_ON_FAILURE="kill") as player:
            self.assertIsNone(player.result())
            self.assertEqual(player.process.wait(), -signal.SIGKILL)
        self.whole(played(line()))


if __name__ == "__main__":
    if sys.argv[1] == "play":
        play(sys.argv[2], int(sys.argv[3]))
        sys.exit()
    import onnx

    sys.path.insert(0, str(Path(sys.argv.pop(1)) / "tests/synapse-double"))
    import make_recipe

    with tempfile.TemporaryDirectory() as folder:
        FOLDER = Path(folder)
        unittest.main()
