#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two processes share frames by descriptor: it is the same memory, with the right content. Usage: two_processes_test.py SOURCE-ROOT

Identity is told by the inode of what the descriptor stands for (a dma-buf, or a memfd where /dev/udmabuf is missing), content by a decoder that has nothing of ours around it.
"""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
EXAMPLE = ROOT / "examples/two-processes"
sys.path[:0] = [str(ROOT / "examples/demo"), str(ROOT / "examples/models"), str(EXAMPLE)]

import clip  # noqa: E402
import gi  # noqa: E402

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

import receiver  # noqa: E402

FRAMES, SIZE, SEED = 30, (636, 362), 20260712   # no round numbers: rows are padded


def expected(path):
    """The SHA-256 of each frame's pixels, as libav decodes it into memory of its own."""
    pipeline = Gst.parse_launch(f"filesrc location={path} ! decodebin3 ! appsink name=sink sync=false")
    pipeline.set_state(Gst.State.PLAYING)
    frames = []
    while (sample := pipeline.get_by_name("sink").emit("try-pull-sample", 60 * Gst.SECOND)) is not None:
        frames.append(receiver.pixels(sample.get_buffer(), sample.get_caps()))
    pipeline.set_state(Gst.State.NULL)
    return frames


def python(program, *arguments, **streams):
    return subprocess.Popen([sys.executable, EXAMPLE / program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams)


def wait_for(process, word):
    """Reads its stderr to the line that begins with `word`."""
    said = []
    for text in process.stderr:
        said.append(text)
        if text.startswith(word):
            return
    raise AssertionError(f"it never said '{word}', but:\n" + "".join(said))


class TwoProcesses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        Gst.init(None)
        cls.folder = tempfile.TemporaryDirectory()
        cls.clip = Path(cls.folder.name) / "clip.mp4"
        cls.truth = clip.make(SEED, FRAMES, SIZE, cls.clip)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def play(self, *options, receivers=1):
        """What the owner and each receiver printed, a list of frames each."""
        socket = Path(self.folder.name) / f"socket-{self.id()}"
        with python("owner.py", *options, socket, self.clip, stdin=subprocess.PIPE) as owner:
            wait_for(owner, "ready")
            others = [python("receiver.py", socket) for _ in range(receivers)]
            for other in others:
                wait_for(other, "connected")
            outputs = [process.communicate("\n" if process is owner else None, timeout=100) for process in (owner, *others)]
            for process, (_, complaints) in zip((owner, *others), outputs):
                self.assertEqual(process.returncode, 0, complaints)
        return [list(map(json.loads, output.splitlines())) for output, _ in outputs]

    def same_memory(self, sent, received):
        self.assertEqual([frame["inode"] for frame in received], [frame["inode"] for frame in sent])
        self.assertGreater(len({frame["inode"] for frame in sent}), 1, "one inode for all frames proves nothing")
        # Times follow the clock, which both share: another pipeline, another zero.
        self.assertEqual(len({there["pts"] - here["pts"] for here, there in zip(sent, received)}), 1)

    def test_host_pages_are_shared_and_read(self):
        sent, *receivers = self.play(receivers=2)
        self.assertEqual(len(sent), FRAMES)
        truth = expected(self.clip)
        self.assertEqual(len(set(truth)), FRAMES)
        for received in receivers:
            self.same_memory(sent, received)
            self.assertEqual([frame["sha256"] for frame in received], truth)
        self.assertTrue(any(frame["labels"] for frame in sent))

    def test_gaudi_memory_arrives_and_cannot_be_mapped(self):
        sent, received = self.play("--hbm")
        self.assertEqual(len(sent), FRAMES)
        self.same_memory(sent, received)
        self.assertEqual({(frame["mapped"], frame["sha256"]) for frame in received}, {(False, None)})

    def test_a_stock_line_receives(self):
        socket = Path(self.folder.name) / "stock"
        with python("owner.py", socket, self.clip, stdin=subprocess.PIPE) as owner:
            wait_for(owner, "ready")
            stock = subprocess.Popen(["gst-launch-1.0", "-v", "unixfdsrc", f"socket-path={socket}", "!", "videoconvert", "!", "video/x-raw,format=RGB", "!", "fakesink", "name=end", "silent=false"],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said = ""
            while "unixfdsrc0.GstPad:src: caps" not in said:    # then the owner knows this receiver
                said += stock.stdout.readline() or self.fail(said)
            owner.communicate("\n", timeout=100)
            said += stock.stdout.read()     # not by communicate(), which loses what readline() has buffered
            self.assertEqual((owner.returncode, stock.wait(timeout=100)), (0, 0), said)
            self.assertRegex(said, r"end\.GstPad:sink: caps = video/x-raw,.*format=\(string\)RGB")
            self.assertEqual(said.count("last-message = chain"), FRAMES)


if __name__ == "__main__":
    unittest.main(verbosity=2)
