# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of cameras have in common: lines that play or fail, and leave nothing behind."""

import gc
import os
import unittest

import holdings
from line import Line, Said

CAMERA = os.environ['HL_VM_VIVID_VMALLOC']


class CameraCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Line(f'v4l2src device={CAMERA} io-mode=dmabuf-import num-buffers=2 ! video/x-raw,format=NV12,width=320,height=180 ! hlinfer model=builtin:null ! fakesink') as line:  # what is loaded once and stays
            line.play()
            line.end()

    def setUp(self):
        gc.collect()
        self.before = [holdings.dma_bufs(), holdings.descriptors()]

    def tearDown(self):
        gc.collect()
        self.nothing_left()
        self.assertEqual(holdings.descriptors(), self.before[1], 'descriptors are left')

    def nothing_left(self):
        self.assertEqual(holdings.dma_bufs(), self.before[0], 'dma-bufs are left')

    def plays(self, line):
        """The same pipeline plays from the start to its end, in our memory."""
        line.said = Said()
        line.element('camera').set_property('num-buffers', 10)
        line.play()
        self.assertTrue(line.end())
        self.assertTrue(line.said.eos, line.said.errors)
        self.assertEqual([one.get_string('reason') for one in line.said.placements], ['own-pool'])
        line.stop()
        self.nothing_left()

    def fails(self, line, factory, *words):
        self.assertTrue(line.end(), 'neither an error nor the end')
        self.failed(line, factory, *words)

    def failed(self, line, factory, *words, left=0):
        """The line has ended in an error of this element, which has these words; at most so many dma-bufs stay, which are not ours to give back."""
        line.stop()
        self.assertTrue(line.said.errors, 'no error')
        self.assertEqual(line.said.errors[0][0], factory, line.said.errors)
        self.assertEqual(len(line.said.errors_of(factory)), 1, line.said.errors)
        for word in words:
            self.assertIn(word, line.said.errors_of(factory)[0])
        gc.collect()
        self.assertLessEqual(holdings.dma_bufs(), self.before[0] + left, 'dma-bufs are left')
        self.before[0] = holdings.dma_bufs()
