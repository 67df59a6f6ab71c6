#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo does what its page says, on three seeds and both simulated chips. Usage: demo_test.py SOURCE-ROOT

The counters are held against what the line must do: one upload and one download for every frame, no read-back, and CPU copies at most for the first group of pictures, which libav decodes
before it takes our pool.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
FRAMES = 90
KEY_FRAME_INTERVAL = 30
RUNS = ((20261121, "gaudi2"), (7, "gaudi"), (424242, "gaudi2"))


def demo(seed, out, chip):
    done = subprocess.run([ROOT / "examples/demo/run", "--seed", str(seed), "--frames", str(FRAMES), "--json", "--out", out],
                          capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"HL_SIM_CHIP": chip})
    if done.returncode != 0:
        raise AssertionError(f"demo --seed {seed} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Demo(unittest.TestCase):
    def test_finds_what_is_there_and_counts_what_moves(self):
        for seed, chip in RUNS:
            with self.subTest(seed=seed, chip=chip), tempfile.TemporaryDirectory() as folder:
                report = demo(seed, Path(folder), chip)
                self.assertEqual(report["frames"], FRAMES)
                self.assertGreaterEqual(report["precision"], 0.9)
                self.assertGreaterEqual(report["recall"], 0.9)
                self.assertGreater(report["fps"], 0)
                self.assertLessEqual(report["latency"]["p50_ms"], report["latency"]["p99_ms"])
                self.assertEqual(report["backend"], "sim")
                self.assertEqual(report["stand_in"], "SIM")
                self.check_hops({hop["element"]: hop for hop in report["hops"]})
                self.assertGreater((Path(folder) / "detections.mp4").stat().st_size, 10000)
                self.assertEqual((Path(folder) / "contact-sheet.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_a_folder_that_cannot_be_written_is_one_line(self):
        done = subprocess.run([ROOT / "examples/demo/run", "--frames", "1", "--out", "/dev/full/demo"], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("/dev/full", done.stderr)

    def check_hops(self, hops):
        self.assertEqual(hops["upload"]["uploads"], FRAMES)
        self.assertEqual(hops["upload"]["upload-bytes"], FRAMES * 640 * 480 * 3 // 2)
        self.assertLessEqual(hops["upload"]["cpu-copies"], KEY_FRAME_INTERVAL)
        self.assertEqual(hops["infer"]["cpu-copies"] + hops["infer"]["uploads"] + hops["infer"]["read-backs"], 0)
        self.assertEqual(hops["infer"]["memory"], "device")
        self.assertEqual(hops["download"]["downloads"], FRAMES)
        self.assertEqual(hops["download"]["cpu-copies"], 0)


if __name__ == "__main__":
    unittest.main()
