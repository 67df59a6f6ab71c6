# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launch lines under the tracer hlcopies, and the frames that reach their element called `sink`. Import before anything of GStreamer."""

import dataclasses
import json
import os
import pathlib
import tempfile

import gi

HOPS = pathlib.Path(tempfile.mkdtemp()) / 'hops.json'
os.environ['GST_TRACERS'] = f'hlcopies(file={HOPS},format=json)'

import line  # noqa: E402

gi.require_version('GstAllocators', '1.0')
from gi.repository import Gst, GstAllocators  # noqa: E402

BOUND = 60 * Gst.SECOND                 # for a line of a few frames, on a busy machine without KVM


def read_hops(path):
    """{element: hop} of a report of hlcopies; empty where nothing ran."""
    report = json.loads(path.read_text(encoding='utf-8') or '{"hops": []}')
    return {hop['element']: hop for hop in report['hops']}


def cpu_copies(hops):
    """{element: CPU copies} of those that made any, or were seen to."""
    return {name: hop['cpu-copies'] for name, hop in hops.items() if hop['cpu-copies']}


@dataclasses.dataclass
class Frame:
    inode: int      # of the dma-buf; 0 where the frame is something else
    ours: bool
    size: int


def describe(buffer):
    memory = buffer.peek_memory(0)
    inode = os.fstat(GstAllocators.fd_memory_get_fd(memory)).st_ino if GstAllocators.is_dmabuf_memory(memory) else 0
    return Frame(inode, memory.allocator.mem_type == 'HlMemory', buffer.get_size())


class TracedLine(line.Line):
    """A line that ran to its end, or, without an end, until `frames` of them were seen: then it runs on. Within `with` it still stands there with its last frame; afterwards `hops` has the report of
    hlcopies. `prepare` is given the line before it starts, `feed` the element called `source` afterwards."""

    def __init__(self, text, feed=None, frames=None, prepare=None):
        super().__init__(text)
        self.frames, self.hops = [], {}
        self.each_frame(lambda buffer: self.frames.append(describe(buffer)))
        if frames:
            self.expect_frames(frames)
        if prepare:
            prepare(self)
        self.play()
        if feed:
            feed(self.element('source'))
        if not (self.wait_expected(BOUND) if frames else self.end(BOUND)) and not self.said.errors:
            self.stop()
            raise AssertionError(f'{len(self.frames)} frames, and neither as many as expected nor end nor error, within {BOUND // Gst.SECOND} s: {text}')

    def __exit__(self, *_):
        self.stop()
        HOPS.touch()
        self.hops = read_hops(HOPS)
        HOPS.unlink()
        self.pipeline = None

    @property
    def error(self):
        """The first, or None."""
        return '{}: {} {}'.format(*self.said.errors[0]) if self.said.errors else None

    def told(self):
        """All that INFO and WARNING messages said so far."""
        self.drain()
        return [text for _, text in self.said.infos + self.said.warnings]

    @property
    def inodes(self):
        return {frame.inode for frame in self.frames}

    def cpu_copies(self):
        return cpu_copies(self.hops)
