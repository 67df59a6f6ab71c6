#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""10,000 frames from a camera through hlinfer: nothing grows, and the camera is afterwards what it was before."""

import dataclasses
import gc
import os
import re
import subprocess
import unittest

import holdings
from line import Gst, Line

CAMERA = os.environ['HL_VM_VIVID_VMALLOC']
FRAMES = 10_000
LINE = f'v4l2src name=camera device={CAMERA} io-mode=dmabuf-import ! video/x-raw,format=NV12,width=320,height=180,framerate=120/1 ! hlinfer name=infer model=builtin:null in-flight=4 ! fakesink name=sink'
MEMORY_SLACK = 2 << 20                  # bytes; the heap's arenas move by less
HELD = 12                               # more than are ever under way: the camera's queue, and those in flight


@dataclasses.dataclass
class Holdings:
    dma_bufs: int
    descriptors: int
    memory: int

    @staticmethod
    def now():
        gc.collect()
        return Holdings(holdings.dma_bufs(), holdings.descriptors().total(), holdings.anonymous_memory())

    def grown_since(self, before):
        """What is more than it was."""
        grown = [name for name in ('dma_bufs', 'descriptors') if getattr(self, name) > getattr(before, name)]
        return grown + (['memory'] if self.memory > before.memory + MEMORY_SLACK else [])


def compliance():
    """The verdicts of v4l2-compliance, test by test, streaming included."""
    text = subprocess.run(['v4l2-compliance', '-d', CAMERA, '-s5'], capture_output=True, text=True, check=False).stdout
    return re.findall(r'^\s*test (.*): (\S+)', text, re.MULTILINE)


class CameraSoak(unittest.TestCase):
    def fill_pool(self, line):
        """Lets the pool grow to more frames than the line ever needs at once: how many that are depends on when threads ran."""
        held = []
        line.each_frame(lambda frame: held.append(frame) if len(held) < HELD else None)
        self.assertTrue(line.wait_frames(HELD + 4), line.said.errors)
        self.assertEqual(len(held), HELD)
        held.extend([None] * HELD)      # no more of them
        del held[:HELD]
        self.assertTrue(line.wait_frames(4), line.said.errors)

    def samples(self, line, frames, points):
        """What is held at so many points of the run."""
        line.play()
        self.fill_pool(line)
        found = []
        for _ in range(points):
            self.assertTrue(line.wait_frames(frames // points, 100 * Gst.SECOND), f'{line.said.errors}, end: {line.said.eos}')
            found.append(Holdings.now())
        return found

    def test_nothing_grows(self):
        verdicts = compliance()
        self.assertGreater(len([one for one in verdicts if one[1] == 'OK']), 40, verdicts)
        before = holdings.dma_bufs()
        with Line(LINE) as line:
            line.element('camera').set_property('num-buffers', FRAMES)
            first, *rest = self.samples(line, FRAMES - 500, 9)    # frames pass between the samples too
            self.assertTrue(line.end(100 * Gst.SECOND) and line.said.eos, line.said.errors)
            self.assertEqual(line.element('infer').get_property('stats').get_value('frames'), FRAMES)
            self.assertEqual([one.get_string('reason') for one in line.said.placements], ['own-pool'])
            self.assertGreater(first.dma_bufs, before, 'the frames are no dma-bufs')
            for sample in rest:
                self.assertEqual(sample.grown_since(first), [], f'{first} {rest}')
        self.assertEqual(holdings.dma_bufs(), before)
        self.assertEqual(compliance(), verdicts)
        print(f'# {FRAMES} frames: {first} {rest[-1]}', flush=True)

    def test_the_check_sees_what_grows(self):
        held = []
        with Line(LINE) as line:
            first, second = self.samples(line, 40, 2)
            self.assertEqual(second.grown_since(first), [])
            line.each_frame(lambda frame: held.append((frame, os.urandom(1 << 17))) if len(held) < 3 * HELD else None)
            self.assertTrue(line.wait_frames(3 * HELD + 10), line.said.errors)
            self.assertEqual(Holdings.now().grown_since(first), ['dma_bufs', 'descriptors', 'memory'])
            held.clear()


if __name__ == '__main__':
    unittest.main(verbosity=2)
