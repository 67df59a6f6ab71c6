# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs launch lines in this process, with the tracer hlcopies, and looks at the frames that reach the element called `sink`. Import before anything of GStreamer."""

import dataclasses
import json
import os
import pathlib
import tempfile
import threading

HOPS = pathlib.Path(tempfile.mkdtemp()) / 'hops.json'
os.environ['GST_TRACERS'] = f'hlcopies(file={HOPS},format=json)'

import gi  # noqa: E402

gi.require_version('Gst', '1.0')
gi.require_version('GstAllocators', '1.0')
gi.require_version('GstApp', '1.0')
from gi.repository import Gst, GstAllocators, GstApp  # noqa: E402,F401 (GstApp gives appsrc its methods)

Gst.init(None)


@dataclasses.dataclass
class Frame:
    inode: int      # of the dma-buf; 0 where the frame is something else
    ours: bool
    size: int


def describe(buffer):
    memory = buffer.peek_memory(0)
    inode = os.fstat(GstAllocators.fd_memory_get_fd(memory)).st_ino if GstAllocators.is_dmabuf_memory(memory) else 0
    return Frame(inode, memory.allocator.mem_type == 'HlMemory', buffer.get_size())


class Line:
    """A launch line that ran to its end, or, without an end, until `frames` of them were seen: then it runs on. Within `with` it still stands there with its last frame; afterwards `hops` has the
    report of hlcopies. `prepare` is given the pipeline before it starts."""

    def __init__(self, text, feed=None, frames=None, seconds=60, prepare=None):
        self.frames, self.error, self.texts, self.hops = [], None, [], {}
        self.wanted, self.enough = frames, threading.Event()
        self.pipeline = Gst.parse_launch(text)
        self.pipeline.get_by_name('sink').get_static_pad('sink').add_probe(Gst.PadProbeType.BUFFER, self._see)
        if prepare:
            prepare(self.pipeline)
        self.pipeline.set_state(Gst.State.PLAYING)
        if feed:
            feed(self.pipeline.get_by_name('source'))
        if not frames:
            self._run(text, seconds)
        elif not self.enough.wait(seconds):
            self._run(text, 1)

    def _see(self, _pad, info):
        self.frames.append(describe(info.get_buffer()))
        if self.wanted and len(self.frames) >= self.wanted:
            self.enough.set()
        return Gst.PadProbeReturn.OK

    def _run(self, text, seconds):
        wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING | Gst.MessageType.INFO
        while True:
            message = self.pipeline.get_bus().timed_pop_filtered(seconds * Gst.SECOND, wanted)
            if message is None:
                self.pipeline.set_state(Gst.State.NULL)
                raise AssertionError(f'neither end nor error within {seconds} s: {text}')
            if message.type == Gst.MessageType.INFO:
                self.texts.append(message.parse_info()[0].message)
            elif message.type == Gst.MessageType.WARNING:
                self.texts.append(message.parse_warning()[0].message)
            else:
                if message.type == Gst.MessageType.ERROR:
                    error, debug = message.parse_error()
                    self.error = f'{message.src.get_name()}: {error.message} {debug}'
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pipeline.set_state(Gst.State.NULL)
        HOPS.touch()
        report = json.loads(HOPS.read_text(encoding='utf-8') or '{"hops": []}')
        self.hops = {hop['element']: hop for hop in report['hops']}
        HOPS.unlink()
        self.pipeline = None

    def told(self):
        """All that INFO and WARNING messages said so far."""
        bus = self.pipeline.get_bus()
        while message := bus.pop_filtered(Gst.MessageType.INFO | Gst.MessageType.WARNING):
            parse = message.parse_info if message.type == Gst.MessageType.INFO else message.parse_warning
            self.texts.append(parse()[0].message)
        return self.texts

    @property
    def inodes(self):
        return {frame.inode for frame in self.frames}

    def cpu_copies(self):
        """{element: CPU copies} of those that made any, or were seen to."""
        return {name: hop['cpu-copies'] for name, hop in self.hops.items() if hop['cpu-copies']}
