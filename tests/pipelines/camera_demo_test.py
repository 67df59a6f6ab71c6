#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/camera-demo without a camera: its report, its end, its errors. Usage: camera_demo_test.py PROGRAM"""
import json
import os
import signal
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
SOURCE = "videotestsrc is-live=true ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1"


def demo(*args):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60, check=False)


class CameraDemo(unittest.TestCase):
    def test_reports_frames_and_copies(self):
        done = demo("--source", SOURCE, "--frames", "20", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(report["stand_in"], "SIM")
        self.assertGreaterEqual(report["frames"], 20)
        hops = {hop["element"]: hop for hop in report["hops"]}
        self.assertEqual(hops["infer"]["memory"], "host")
        self.assertEqual(hops["infer"]["cpu-copies"], 0)

    def test_counts_the_copies_of_a_source_that_does_not_take_our_pool(self):
        done = demo("--source", SOURCE + " ! tee", "--frames", "20", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout.splitlines()[-1])
        hops = {hop["element"]: hop for hop in report["hops"]}
        self.assertEqual(hops["infer"]["cpu-copies"], report["frames"])
        self.assertIn("copied by the CPU", done.stderr)

    def test_ends_with_its_report_on_an_interrupt(self):
        process = subprocess.Popen([PROGRAM, "--source", SOURCE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not process.stderr.readline().startswith("frame "):
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("cpu-copies", out)

    def test_says_what_is_wrong(self):
        for args, status, words in ((("--camera", "/dev/no-such-node"), 1, "/dev/no-such-node"), (("--source", "nosuchelement"), 1, "nosuchelement"),
                                    (("--display", "wall"), 2, "window, kms or terminal"), (("--source", SOURCE, "--model", "/no/such.onnx"), 1, "/no/such.onnx"),
                                    (("stray",), 2, "stray")):
            with self.subTest(args=args):
                done = demo(*args)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertNotIn("CRITICAL", done.stderr)


if __name__ == "__main__":
    os.environ["HL_DEVICE"] = "sim"
    unittest.main()
