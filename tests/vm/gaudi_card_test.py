#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The capture card and the scan-out engine beside the emulated Gaudi, with host memory: each frame is what the card says it wrote, and what the engine says it read."""

import contextlib
import gc
import os
import pathlib
import subprocess
import unittest
import zlib

import cardframe
import gi
import holdings
import kernelwitness
from line import Gst, Line

gi.require_version('GstVideo', '1.0')
from gi.repository import GstVideo  # noqa: E402

FOURCCS = {'BGRx': 'XR24', 'NV12': 'NV12', 'YUY2': 'YUYV'}
CARD = os.environ['HL_VM_CARD']
CAPTURE = pathlib.Path('/sys/module/hl_test_capture/parameters')
MODULE = pathlib.Path(os.environ['HL_BUILD_DIR'], 'guest-modules', 'hl_test_capture.ko')


@contextlib.contextmanager
def parameter(name, value):
    path = CAPTURE / name
    before = path.read_text(encoding='ascii')
    path.write_text(value, encoding='ascii')
    try:
        yield
    finally:
        path.write_text(before, encoding='ascii')


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


def visible(frame, info):
    """The visible bytes of a GStreamer buffer; `info` is what its caps say."""
    layout = GstVideo.buffer_get_video_meta(frame) or info
    count = info.finfo.n_planes
    if frame.n_memory() == 1:
        data = frame.extract_dup(0, frame.get_size())
        planes = [(data, layout.offset[i], layout.stride[i]) for i in range(count)]
    else:
        planes = [(memory_bytes(frame.peek_memory(i)), 0, layout.stride[i]) for i in range(count)]
    return cardframe.visible(info.finfo.name, info.width, info.height, planes)


def memory_bytes(memory):
    mapped, info = memory.map(Gst.MapFlags.READ)
    assert mapped
    try:
        return bytes(info.data)
    finally:
        memory.unmap(info)


class Capture(unittest.TestCase):
    def setUp(self):
        gc.collect()
        self.before = holdings.dma_bufs()

    def tearDown(self):
        gc.collect()
        self.assertEqual(holdings.dma_bufs(), self.before, 'dma-bufs are left')

    def verified(self, text, frames=10):
        """Runs a line of the card; every frame has to be the one that the card remembers. Returns (numbers, inodes of dma-bufs that were attached to the card)."""
        numbers, attached = [], set()
        registers = cardframe.Registers(CARD)

        def seen(frame):
            info = GstVideo.VideoInfo.new_from_caps(line.element('sink').get_static_pad('sink').get_current_caps())
            number, crc = cardframe.stamp(visible(frame, info))
            self.assertEqual(registers.crc(number), crc, f'frame {number}')
            numbers.append(number)
            attached.update(kernelwitness.imported_by(registers.device.name))

        failures = []

        def checked(frame):
            try:
                seen(frame)
            except Exception as failure:  # noqa: BLE001 (in a thread of GStreamer's)
                failures.append(failure)

        with registers, Line(text) as line:
            line.each_frame(checked)
            line.element('camera').set_property('num-buffers', frames)
            line.play()
            self.assertTrue(line.end())
            self.assertTrue(line.said.eos, line.said.errors)
            said = line.said
        self.assertEqual(failures, [])
        self.assertEqual(len(numbers), frames)
        self.assertEqual(numbers, sorted(set(numbers)))
        return said, attached

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
            with parameter('allow_peer2peer', allowed):
                for pixels in ('YUY2', 'NV12'):
                    with self.subTest(pixels=pixels, allowed=allowed):
                        self.in_our_memory(self.host_line(pixels))

    def test_odd_and_large_frames(self):
        self.in_our_memory(self.host_line('NV12', 'width=320,height=242'))
        self.in_our_memory(self.host_line('YUY2', 'width=62,height=31'))
        self.in_our_memory(self.host_line('YUY2', 'width=1920,height=1080'))

    def test_hundred_frames_as_fast_as_buffers_come(self):
        with parameter('unpaced', '1'):
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

    def read(self):
        """What the engine read since the driver was loaded: lines of number, format, size, memory, CRC, error."""
        return [line.split() for line in (self.card.directory / 'frames').read_text(encoding='ascii').splitlines()[1:]]

    def shown(self, text, pixels):
        before = len(self.read())
        wanted = []
        with Line(f'{text} ! kmssink name=sink driver-name={self.card.driver} force-modesetting=true sync=false') as line:
            def seen(frame):
                info = GstVideo.VideoInfo.new_from_caps(line.element('sink').get_static_pad('sink').get_current_caps())
                wanted.append(f'{zlib.crc32(visible(frame, info)):08x}')
            line.each_frame(seen)
            line.play()
            self.assertTrue(line.end())
            self.assertTrue(line.said.eos, line.said.errors)
        black, *frames = self.read()[before:]
        self.assertEqual(black[3], 'own')           # kmssink's, for the mode
        self.assertEqual(frames, [[str(before + 1 + i), FOURCCS[pixels], '640x480', 'imported', crc, '0'] for i, crc in enumerate(wanted)])
        self.assertEqual(len(set(wanted)), 6)

    def test_frames_of_ours(self):
        for pixels in FOURCCS:
            with self.subTest(pixels):
                self.shown(f'videotestsrc num-buffers=6 pattern=ball ! video/x-raw,format={pixels},width=640,height=480 ! hlupload device=sim ! hldownload device=sim', pixels)


if __name__ == '__main__':
    unittest.main()
