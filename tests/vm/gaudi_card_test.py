#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The capture card and the scan-out engine beside the emulated Gaudi, with host memory: each frame is what the card says it wrote, and what the engine says it read."""

import contextlib
import os
import pathlib
import subprocess
import unittest
import zlib

import cardcase
import cardframe
import kernelwitness
from cardcase import CARD
from line import Line

FOURCCS = {'BGRx': 'XR24', 'NV12': 'NV12', 'YUY2': 'YUYV'}
MODULE = pathlib.Path(os.environ['HL_BUILD_DIR'], 'guest-modules', 'hl_test_capture.ko')


@contextlib.contextmanager
def multiplanar():
    """The card's driver, loaded again with the multi-planar API."""
    def load(*parameters):
        subprocess.run(['rmmod', 'hl_test_capture'], check=True)
        subprocess.run(['insmod', str(MODULE), *parameters], check=True)
    load('multiplanar=1')
    try:
        yield
    finally:
        load()


class Capture(cardcase.CardCase):
    def test_every_format_in_the_drivers_memory(self):
        for pixels in cardframe.SHAPES:
            with self.subTest(pixels):
                _, attached = self.verified(f'v4l2src name=camera device={CARD} io-mode=mmap ! video/x-raw,format={pixels},width=320,height=242 ! fakesink name=sink')
                self.assertEqual(attached, set())

    def host_line(self, pixels, size='width=640,height=480', properties=''):
        return (f'v4l2src name=camera device={CARD} io-mode=dmabuf-import ! video/x-raw,format={pixels},{size} ! '
                f'hlinfer name=infer model=builtin:null device=sim zero-copy=require memory=host {properties} ! fakesink name=sink')

    def in_our_memory(self, line, **arguments):
        said, attached = self.verified(line, **arguments)
        self.assertEqual([one.get_string('reason') for one in said.placements], ['own-pool'])
        self.assertTrue(attached, 'the card was attached to no dma-buf')

    def test_host_memory_of_ours_with_and_without_peer_to_peer(self):
        for allowed in ('1', '0'):
            with cardcase.parameter('allow_peer2peer', allowed):
                for pixels in ('YUY2', 'NV12'):
                    with self.subTest(pixels=pixels, allowed=allowed):
                        self.in_our_memory(self.host_line(pixels))

    def test_odd_and_large_frames(self):
        self.in_our_memory(self.host_line('NV12', 'width=320,height=242'))
        self.in_our_memory(self.host_line('YUY2', 'width=62,height=31'))
        self.in_our_memory(self.host_line('YUY2', 'width=1920,height=1080'))

    def test_hundred_frames_as_fast_as_buffers_come(self):
        with cardcase.parameter('unpaced', '1'):
            self.in_our_memory(self.host_line('YUY2'), frames=100)

    def test_a_memory_for_each_plane(self):
        with multiplanar():
            self.verified(f'v4l2src name=camera device={CARD} io-mode=mmap ! video/x-raw,format=NV12,width=320,height=242 ! fakesink name=sink')
            self.in_our_memory(self.host_line('NV12', properties='planes=multi'))

    def test_the_driver_complies(self):
        def complies():
            done = subprocess.run(['v4l2-compliance', '-d', CARD, '-s', '5'], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, '\n'.join(line for line in done.stdout.splitlines() if 'fail' in line.lower()))
        complies()
        with multiplanar():
            complies()

    def test_a_card_that_is_pulled_out(self):
        device = cardframe.Registers(CARD).device
        with Line(self.host_line('YUY2')) as line:
            line.play()
            self.assertTrue(line.wait_frames(3))
            (device / 'remove').write_text('1', encoding='ascii')
            self.assertTrue(line.end())
            self.assertEqual(line.said.errors[0][0], 'v4l2src', line.said.errors)
            self.assertFalse(os.path.exists(CARD))
        pathlib.Path('/sys/bus/pci/rescan').write_text('1', encoding='ascii')
        self.in_our_memory(self.host_line('YUY2'))


class Scanout(unittest.TestCase):
    """kmssink on the engine: what it read is what the frames hold."""

    def setUp(self):
        self.card = kernelwitness.Card('HL_VM_SCANOUT')

    def shown(self, text, pixels):
        before = len(cardcase.read_by(self.card))
        wanted = []
        with Line(f'{text} ! kmssink name=sink driver-name={self.card.driver} force-modesetting=true sync=false') as line:
            def seen(frame):
                info = cardcase.info_at(line)
                wanted.append(f'{zlib.crc32(cardcase.visible(frame, info)):08x}')
            line.each_frame(seen)
            line.play()
            self.assertTrue(line.end())
            self.assertTrue(line.said.eos, line.said.errors)
        black, *frames = cardcase.read_by(self.card)[before:]
        self.assertEqual(black[3], 'own')           # kmssink's, for the mode
        self.assertEqual(frames, [[str(before + 1 + i), FOURCCS[pixels], '640x480', 'imported', crc, '0'] for i, crc in enumerate(wanted)])
        self.assertEqual(len(set(wanted)), 6)

    def test_frames_of_ours(self):
        for pixels in FOURCCS:
            with self.subTest(pixels):
                self.shown(f'videotestsrc num-buffers=6 pattern=ball ! video/x-raw,format={pixels},width=640,height=480 ! hlupload device=sim ! hldownload device=sim', pixels)


if __name__ == '__main__':
    unittest.main()
