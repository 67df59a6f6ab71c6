#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kmssink shows our frames from our memory, the right ones, and where it copies instead the report names it. Witnesses: the card's attachments to our dma-bufs, by inode; whether the frame buffer on
the screen is imported memory; the checksum of what vkms sends to the screen, against the same picture in kmssink's own memory."""

import functools
import gc
import unittest

from tracedline import TracedLine
import holdings
import kernelwitness
from line import Line

CARDS = ('HL_VM_VKMS', 'HL_VM_BOCHS', 'HL_VM_CIRRUS')
FOURCCS = {'BGRx': 'XR24', 'RGB': 'BG24', 'NV12': 'NV12', 'I420': 'YU12'}


def picture(pixels, pattern='smpte100', frames=2):
    return f'videotestsrc num-buffers={frames} pattern={pattern} ! video/x-raw,format={pixels},width=640,height=480'


def display(card):
    return f'kmssink name=sink driver-name={card.driver} force-modesetting=true sync=false'


@functools.cache
def stock(pixels):
    """The checksum of the picture in memory of kmssink's own, without any element of ours."""
    card = kernelwitness.Card('HL_VM_VKMS')
    with TracedLine(f'{picture(pixels)} ! {display(card)}') as line:
        if line.error or any(frame.ours for frame in line.frames) or card.scanned_out() != (FOURCCS[pixels], {'no'}):
            raise AssertionError(f'no stock picture: {line.error}, {line.frames}, {card.scanned_out()}')
        return card.crc()


class Display(unittest.TestCase):
    def setUp(self):
        self.vkms = kernelwitness.Card('HL_VM_VKMS')

    def shown(self, text, card, pixels):
        """Runs a line that has to end well in front of `card`, with the last of its frames on the screen straight from its memory. On vkms, returns the checksum."""
        with TracedLine(f'{text} ! {display(card)}') as line:
            self.assertIsNone(line.error)
            self.assertTrue(line.frames and all(frame.ours for frame in line.frames), line.frames)
            self.assertEqual(line.inodes & kernelwitness.imported_by(card.device), line.inodes)
            self.assertEqual(card.scanned_out(), (FOURCCS[pixels], {'yes'}))
            checksum = card.crc() if card.driver == 'vkms' else None
        self.assertEqual(line.cpu_copies(), {})
        return checksum

    def test_every_card_shows_frames_that_came_down_from_gaudi(self):
        for variable in CARDS:
            with self.subTest(variable):
                self.shown(picture('BGRx') + ' ! hlupload zero-copy=require ! hldownload', kernelwitness.Card(variable), 'BGRx')

    def test_every_card_shows_the_host_frames_that_hlinfer_read(self):
        for variable in CARDS:
            with self.subTest(variable):
                self.shown(picture('BGRx') + ' ! hlinfer model=builtin:null zero-copy=require', kernelwitness.Card(variable), 'BGRx')

    def test_every_format_gives_the_picture_that_stock_elements_give(self):
        for pixels in ('BGRx', 'RGB', 'NV12'):
            with self.subTest(pixels):
                self.assertEqual(self.shown(picture(pixels) + ' ! hlupload ! hldownload', self.vkms, pixels), stock(pixels))

    # vkms reads all planes from the first memory of a frame (vkms_formats.c packed_pixels_addr), so its checksum is of no use here.
    def test_frames_with_a_dma_buf_for_each_plane_are_imported_plane_by_plane(self):
        for pixels, planes in (('NV12', 2), ('I420', 3)):
            with self.subTest(pixels), TracedLine(f'{picture(pixels)} ! hlinfer model=builtin:null planes=multi zero-copy=require ! hldownload ! {display(self.vkms)}') as line:
                self.assertIsNone(line.error)
                self.assertEqual(self.vkms.scanned_out(), (FOURCCS[pixels], {'yes'}))
                attached = kernelwitness.imported_by(self.vkms.device)
                self.assertLessEqual(line.inodes, attached)
                self.assertEqual(len(attached), planes * len(line.inodes))
            self.assertEqual(line.cpu_copies(), {})

    def test_dmabuf_caps_give_the_same_picture(self):
        text = picture('BGRx') + ' ! hlupload ! hldownload ! video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=XR24'
        self.assertEqual(self.shown(text, self.vkms, 'BGRx'), stock('BGRx'))

    def test_another_picture_has_another_checksum(self):
        self.assertNotEqual(self.shown(picture('BGRx', 'pinwheel') + ' ! hlupload ! hldownload', self.vkms, 'BGRx'), stock('BGRx'))

    # kmssink keeps a frame buffer with each memory, as long as the memory lives. I420 and NV12 frames are of the same size: nothing but the layout tells them apart.
    def test_frames_of_another_layout_are_not_shown_in_the_old_one(self):
        first, second = picture('I420', 'pinwheel'), picture('NV12')
        text = f'concat name=both ! hlupload ! hldownload ! {display(self.vkms)} {first} ! both. {second} ! both.'
        with TracedLine(text) as line:
            self.assertIsNone(line.error)
            self.assertEqual(len(line.frames), 4)
            self.assertEqual(self.vkms.scanned_out(), ('NV12', {'yes'}))
            checksum = self.vkms.crc()
        self.assertEqual(checksum, stock('NV12'))

    def refused(self, text, *words):
        """kmssink ends the line, with these words and nobody else's, and nothing is left of our frames."""
        before = holdings.dma_bufs()
        with Line(text) as line:
            line.play()
            self.assertTrue(line.end(), 'neither an error nor the end')
            line.stop()
            self.assertEqual({factory for factory, _, _ in line.said.errors}, {'kmssink'}, line.said.errors)
            for word in words:
                self.assertIn(word, line.said.errors_of('kmssink')[0])
        del line
        gc.collect()
        self.assertEqual(holdings.dma_bufs(), before)

    def test_a_card_without_a_free_plane(self):
        text = picture('BGRx') + ' ! hlupload ! hldownload'
        self.refused(f'{text} ! {display(self.vkms)} plane-id=9999', 'Could not find a plane')
        self.shown(text, self.vkms, 'BGRx')

    def test_a_card_that_somebody_else_uses(self):
        live = 'videotestsrc is-live=true ! video/x-raw,format=BGRx,width=640,height=480,framerate=10/1 ! hlupload ! hldownload'
        with TracedLine(f'{live} ! {display(self.vkms)}', frames=2) as first:
            self.refused(f'{picture("BGRx")} ! hlupload ! hldownload ! {display(self.vkms)}', 'failed to configure video mode')
            self.assertTrue(first.wait_frames(2), first.said.errors)
            self.assertEqual(self.vkms.scanned_out(), ('XR24', {'yes'}))
        self.shown(picture('BGRx') + ' ! hlupload ! hldownload', self.vkms, 'BGRx')

    # virtio_gpu without blob resources imports nothing (ENODEV). kmssink logs that and copies each frame, the first one twice: as preroll too.
    def test_a_card_that_refuses_is_named_with_its_copies(self):
        card = kernelwitness.Card('HL_VM_VIRTIO_GPU')
        with TracedLine(f'{picture("BGRx", frames=3)} ! hlupload zero-copy=require ! hldownload ! {display(card)}') as line:
            self.assertIsNone(line.error)
            self.assertTrue(all(frame.ours for frame in line.frames))
            self.assertEqual(line.inodes & kernelwitness.imported_by(card.device), set())
            self.assertEqual(card.scanned_out(), ('XR24', {'no'}))
        self.assertEqual(line.cpu_copies(), {'sink': 4})
        self.assertEqual(line.hops['sink']['cpu-copy-bytes'], 4 * 640 * 480 * 4)
        self.assertEqual(line.hops['sink']['says'], 'copied 4 frames by CPU (seen from outside)')


if __name__ == '__main__':
    unittest.main(verbosity=2)
