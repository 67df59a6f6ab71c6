#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network that never ends costs its request, not the process: one error when its time is over, and a clean exit. Usage: endless_test.py"""
import os
import subprocess
import sys
import unittest

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

LINE = (f"videotestsrc pattern=white ! video/x-raw,format=RGB,width=32,height=32 ! hlinfer device=sim model={os.environ['HL_TEST_MODELS']}/endless.onnx timeout=300000000 "
        "compute-threads=1 ! fakesink")


def play():
    """Ends as applications do: by leaving main() when the pipeline has said what it has to say."""
    Gst.init(None)
    pipeline = Gst.parse_launch(LINE)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.ERROR | Gst.MessageType.EOS)
    pipeline.set_state(Gst.State.NULL)
    print(message.parse_error()[0].message if message and message.type == Gst.MessageType.ERROR else "no error")


class Endless(unittest.TestCase):
    def test_ends_with_one_error(self):
        done = subprocess.run([sys.executable, __file__, "play"], capture_output=True, text=True, timeout=100, check=False)
        self.assertTrue(done.stdout.startswith("HL-INF-003"), done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    play() if sys.argv[1:] == ["play"] else unittest.main()
