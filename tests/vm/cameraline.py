# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of cameras share: pipelines on real nodes, in this process, and what the kernel says that they hold."""

import collections
import fcntl
import os
import pathlib
import re
import struct

import gi
import kernelwitness

gi.require_version('Gst', '1.0')
from gi.repository import Gst  # noqa: E402

Gst.init(None)
BOUND = 30 * Gst.SECOND                 # for whatever has to happen at once


VIDIOC_S_CTRL = 0xC008561C
# Controls of vivid (vivid-ctrls.c); the buttons make it fail once, at once or at the next such call.
PERCENTAGE_DROPPED, DISCONNECT, BUFFER_FLAG_ERROR, REQBUFS_ERROR, QBUF_ERROR, STREAMON_ERROR, FATAL_ERROR = range(0x00f0f040, 0x00f0f047)
DV_TIMINGS_SIGNAL_MODE, DV_TIMINGS = 0x00f0f03e, 0x00f0f03f


def control(camera, identity, value=1):
    """Sets a control of a camera, through a descriptor of its own."""
    node = os.open(camera, os.O_RDWR)
    try:
        fcntl.ioctl(node, VIDIOC_S_CTRL, struct.pack('Ii', identity, value))
    finally:
        os.close(node)


def dma_bufs():
    """All dma-bufs of this machine, as the kernel counts them."""
    return len(kernelwitness.dmabufs())


def descriptors():
    """How many descriptors this process has open, by what they are."""
    found = collections.Counter()
    for entry in os.scandir('/proc/self/fd'):
        try:
            found[re.sub(r'\d+', 'N', os.readlink(entry.path))] += 1
        except FileNotFoundError:       # the one that reads the directory
            continue
    return found


def anonymous_memory():
    """Bytes of this process's own memory; host pages are shared memory and counted as dma-bufs."""
    status = pathlib.Path('/proc/self/status').read_text(encoding='ascii')
    return int(re.search(r'RssAnon:\s+(\d+) kB', status).group(1)) * 1024


class Said:
    """What a pipeline said on its bus, in order."""

    def __init__(self):
        self.errors, self.warnings, self.placements, self.eos = [], [], [], False

    def take(self, message):
        if message.type == Gst.MessageType.ERROR:
            error, debug = message.parse_error()
            self.errors.append((message.src.get_factory().get_name(), error.message, debug or ''))
        elif message.type == Gst.MessageType.WARNING:
            self.warnings.append((message.src.get_name(), message.parse_warning()[0].message))
        elif message.type == Gst.MessageType.EOS:
            self.eos = True
        elif message.type == Gst.MessageType.ELEMENT and message.get_structure().get_name() == 'hl-placement':
            self.placements.append(message.get_structure())

    def errors_of(self, factory):
        return [text + '\n' + debug for name, text, debug in self.errors if name == factory]


class Line:
    """A pipeline of a launch line; NULL when left."""

    def __init__(self, description):
        self.pipeline = Gst.parse_launch(description)
        self.bus = self.pipeline.get_bus()
        self.said = Said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def element(self, name):
        return self.pipeline.get_by_name(name)

    def play(self):
        return self.pipeline.set_state(Gst.State.PLAYING)

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)
        self.drain()

    def each_frame(self, seen, element='sink'):
        """Calls seen(buffer) for each frame that reaches an element."""
        def probe(_, info):
            seen(info.get_buffer())
            return Gst.PadProbeReturn.OK
        self.element(element).get_static_pad('sink').add_probe(Gst.PadProbeType.BUFFER, probe)

    def wait_frames(self, count, bound=BOUND):
        """Waits until so many more frames reached the sink; False where the line ended before."""
        def probe(pad, _, left=[count]):
            left[0] -= 1
            if left[0] > 0:
                return Gst.PadProbeReturn.OK
            element = pad.get_parent_element()
            element.post_message(Gst.Message.new_application(element, Gst.Structure.new_empty('frames')))
            return Gst.PadProbeReturn.REMOVE
        self.element('sink').get_static_pad('sink').add_probe(Gst.PadProbeType.BUFFER, probe)
        kinds = (Gst.MessageType.APPLICATION, Gst.MessageType.EOS, Gst.MessageType.ERROR)
        last = []
        return self.wait(lambda message: message.type in kinds and not last.append(message.type), bound) and last == [Gst.MessageType.APPLICATION]

    def drain(self):
        while (message := self.bus.pop()) is not None:
            self.said.take(message)

    def wait(self, until, bound=BOUND):
        """Takes messages until one of them is what is waited for; False where none came in time."""
        while (message := self.bus.timed_pop(bound)) is not None:
            self.said.take(message)
            if until(message):
                return True
        return False

    def end(self):
        """Waits for EOS or the first error."""
        return self.wait(lambda message: message.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR))
