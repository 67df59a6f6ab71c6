# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames in a stranger's dma-bufs (udmabuf), with rows as long as one likes: what a camera with aligned rows would send."""

import fcntl
import os
import struct

import gi

gi.require_version('GstAllocators', '1.0')
gi.require_version('GstVideo', '1.0')
from gi.repository import Gst, GstAllocators, GstVideo  # noqa: E402

UDMABUF_CREATE = 0x40187542
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2
PAGE = 4096


def dmabuf(content):
    """A descriptor of a dma-buf with these bytes."""
    size = -len(content) // PAGE * -PAGE
    memory = os.memfd_create('frame', os.MFD_ALLOW_SEALING)
    os.truncate(memory, size)
    os.pwrite(memory, content, 0)
    fcntl.fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK)
    with open(os.environ['HL_VM_UDMABUF'], 'rb') as node:
        out = fcntl.ioctl(node, UDMABUF_CREATE, bytearray(struct.pack('IIQQ', memory, 0, 0, size)))  # mutable: the result is the descriptor
    os.close(memory)
    return out


def frame(pixels, pixel_bytes, rows, padding):
    """A buffer with these rows in a format of one plane, named as in GstVideo.VideoFormat, `padding` bytes of no meaning behind each."""
    content = b''.join(row + b'\xa5' * padding for row in rows)
    buffer = Gst.Buffer.new()
    buffer.append_memory(GstAllocators.DmaBufAllocator.alloc(GstAllocators.DmaBufAllocator.new(), dmabuf(content), len(content)))
    GstVideo.buffer_add_video_meta_full(buffer, GstVideo.VideoFrameFlags.NONE, getattr(GstVideo.VideoFormat, pixels), len(rows[0]) // pixel_bytes, len(rows), 1, [0, 0, 0, 0],
                                        [len(rows[0]) + padding, 0, 0, 0])
    return buffer


def rgb_frame(rows, padding):
    return frame('RGB', 3, rows, padding)
