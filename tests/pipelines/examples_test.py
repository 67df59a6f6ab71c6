#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples do what their pages say, on a clip whose truth is known. Usage: examples_test.py SOURCE-ROOT DETECT-CPP DETECT-C

What they print is held against the truth and must not be worse than what the demo finds in the same clip; both compiled examples are also compiled as their head comments say.
"""
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT, DETECT_CPP, DETECT_C = map(Path, sys.argv[1:4])
del sys.argv[1:4]
EXAMPLES = ROOT / "examples"
sys.path[:0] = [str(EXAMPLES / "demo"), str(EXAMPLES / "models")]

import clip  # noqa: E402
import line  # noqa: E402
from evaluate import evaluate  # noqa: E402
from scenes import LABELS  # noqa: E402

FRAMES, SIZE, SEED = 60, (640, 480), 20260711
PROGRAMS = {"C++": [DETECT_CPP], "C": [DETECT_C], "Python": [sys.executable, EXAMPLES / "detect-python/detect.py"]}
SOURCES = {"C++": EXAMPLES / "detect-cpp/detect.cpp", "C": EXAMPLES / "detect-c/detect.c"}


def run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def frames(text):
    """What a program printed, a dictionary a frame."""
    return [json.loads(text_line) for text_line in text.splitlines()]


def boxes(frame):
    """Its detections, in the form of evaluate()."""
    return [{"label": d["label"], "score": d["score"], **d["box"]} for d in frame["detections"]]


def ratios(detections, truth):
    score = evaluate(detections, truth)
    return score["precision"], score["recall"]


class Detect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.clip = Path(cls.folder.name) / "clip.mp4"
        cls.truth = clip.make(SEED, FRAMES, SIZE, cls.clip)
        cls.demo = line.run(cls.clip, Path(cls.folder.name) / "demo.mp4", "sim", window=False)["detections"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def detections(self, command):
        done = run([*command, self.clip])
        self.assertEqual(done.returncode, 0, done.stderr)
        return frames(done.stdout)

    def test_finds_what_is_there(self):
        at_least = ratios(self.demo, self.truth)
        self.assertGreaterEqual(min(at_least), 0.9)
        for name, command in PROGRAMS.items():
            with self.subTest(name):
                found = self.detections(command)
                first, *_ = numbers = [round(frame["pts"] * clip.FPS / 1e9) for frame in found]
                self.assertEqual(numbers, list(range(first, first + FRAMES)))   # MP4 begins where its reordered frames allow
                precision, recall = ratios([boxes(frame) for frame in found], self.truth)
                print(f"{name}: precision {precision:.4f}, recall {recall:.4f}; the demo: {at_least[0]:.4f}, {at_least[1]:.4f}")
                self.assertGreaterEqual(precision, at_least[0])
                self.assertGreaterEqual(recall, at_least[1])

    def test_a_frame_is_a_line_with_these_fields(self):
        for name, command in PROGRAMS.items():
            with self.subTest(name):
                for frame in self.detections(command):
                    self.assertEqual(list(frame), ["pts", "detections"])
                    for found in frame["detections"]:
                        self.assertEqual(list(found), ["label", "score", "box"])
                        self.assertIn(found["label"], LABELS)
                        self.assertTrue(0.5 <= found["score"] <= 1, found)
                        self.assertEqual(list(found["box"]), ["x", "y", "w", "h"])
                        self.assertTrue(all(isinstance(side, int) for side in found["box"].values()), found)

    def test_compiled_outside_of_the_tree_it_is_the_same_program(self):
        for name, source in SOURCES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                told = re.search(r"Outside of this tree:\n((?:(?://| \*)   .+\n)+)", source.read_text(encoding="utf-8"))
                self.assertTrue(told, f"{source} does not say how it is compiled")
                commands = re.sub(r"(?m)^(//| \*) +", "", told[1])
                (Path(folder) / source.name).symlink_to(source)
                # A sanitizer's runtime is for the program, not for the compiler.
                plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
                done = subprocess.run(["sh", "-ec", commands], cwd=folder, env=plain, capture_output=True, text=True, timeout=100, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(self.detections([Path(folder) / "detect"]), self.detections(PROGRAMS[name]))

    def test_an_error_names_cause_and_remedy(self):
        for name, command in PROGRAMS.items():
            with self.subTest(name):
                done = run([*command, self.clip, "no-such-model.onnx"])
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"error: infer: HL-MOD-\d{3}: ")
                self.assertIn("no-such-model.onnx", done.stderr)
                if name in SOURCES:  # Python's passes on the text, in which both are
                    self.assertRegex(done.stderr, r"(?m)^  cause: \S.*no-such-model.onnx")
                    self.assertRegex(done.stderr, r"(?m)^  what to do: \S")
                done = run([*command, "no-such-clip.mp4"])
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"error: \w*src\w*: ")
                self.assertIn("no-such-clip.mp4" if name in SOURCES else "not found", done.stderr)
                self.assertEqual(done.stdout, "")

    def test_ctrl_c_ends_a_live_picture_behind_a_whole_line(self):
        for name in SOURCES:
            with self.subTest(name), subprocess.Popen(PROGRAMS[name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                first = process.stdout.readline()
                process.send_signal(signal.SIGINT)
                rest = process.stdout.read()    # not by communicate(), which loses what readline() has buffered
                self.assertEqual(process.wait(timeout=60), 0, process.stderr.read())
                times = [frame["pts"] for frame in frames(first + rest)]
                self.assertEqual(times, sorted(set(times)))
                self.assertTrue(rest.endswith("\n") or not rest)

    def test_python_without_its_arguments_says_how_it_is_used(self):
        for program in ("detect-python/detect.py", "two-processes/owner.py", "two-processes/receiver.py"):
            with self.subTest(program):
                done = run([sys.executable, EXAMPLES / program])
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertRegex(done.stderr, rf"^usage: {Path(program).name} .+\n$")

    def test_python_takes_fewer_than_40_lines(self):
        self.assertLess(len((EXAMPLES / "detect-python/detect.py").read_text(encoding="utf-8").splitlines()), 40)


if __name__ == "__main__":
    unittest.main(verbosity=2)
