# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of the capture card have in common: lines whose frames are all what the card says it wrote."""

import contextlib
import gc
import os
import pathlib
import unittest

import cardframe
import gi
import holdings
import kernelwitness
from line import BOUND, Gst, Line

gi.require_version('GstVideo', '1.0')
from gi.repository import GstVideo  # noqa: E402

CARD = os.environ['HL_VM_CARD']


@contextlib.contextmanager
def parameter(name, value, module='hl_test_capture'):
    """A parameter of a module, within."""
    path = pathlib.Path('/sys/module', module, 'parameters', name)
    before = path.read_text(encoding='ascii')
    path.write_text(value, encoding='ascii')
    try:
        yield
    finally:
        path.write_text(before, encoding='ascii')


def info_at(line):
    """What the caps at the sink of a line say."""
    return GstVideo.VideoInfo.new_from_caps(line.element('sink').get_static_pad('sink').get_current_caps())


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


def read_by(engine):
    """What the scan-out engine (a kernelwitness.Card) read since its driver was loaded, 256 frames at most: lists of number, format, size, memory, CRC, error."""
    return [line.split() for line in (engine.directory / 'frames').read_text(encoding='ascii').splitlines()[1:]]


class CardCase(unittest.TestCase):
    def setUp(self):
        gc.collect()
        self.before = holdings.dma_bufs()

    def tearDown(self):
        gc.collect()
        self.assertEqual(holdings.dma_bufs(), self.before, 'dma-bufs are left')

    def verified(self, text, frames=10, before_end=None, each=None, bound=BOUND, slow=False):
        """Runs a line of the card; every frame that reaches its sink has to be the one that the card remembers. Returns (what it said, inodes of dma-bufs that were attached to the card; who exported these, by the kernel's word, is in `exporters` of the first);
        `each` is given each frame, as a buffer and as its visible bytes, and `before_end` the line when all have come. A `slow` line may
        bring frames that the card, which remembers 256, has forgotten: then there is only what the frame says of itself."""
        numbers, attached, exporters = [], set(), set()
        registers = cardframe.Registers(CARD)

        def seen(frame):
            info = info_at(line)
            picture = visible(frame, info)
            number, crc = cardframe.stamp(picture)
            remembered = registers.crc(number)
            if remembered is not None or not slow:
                self.assertEqual(remembered, crc, f'frame {number}')
            numbers.append(number)
            attached.update(kernelwitness.imported_by(registers.device.name))
            exporters.update(one.exporter for one in kernelwitness.dmabufs().values() if registers.device.name in one.devices)
            if each:
                each(frame, picture)

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
            self.assertTrue(line.end(bound))
            self.assertTrue(line.said.eos, line.said.errors)
            said = line.said
            if before_end:
                before_end(line)
        line.pipeline = None    # which holds the probe, which holds the line: the device would stay open
        self.assertEqual(failures, [])
        self.assertEqual(len(numbers), frames)
        self.assertEqual(numbers, sorted(set(numbers)))
        said.exporters = exporters
        return said, attached
