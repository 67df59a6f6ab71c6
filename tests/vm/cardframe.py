# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames of the emulated capture card: what is written in them, and what the card itself remembers (tests/gaudi-emulator/card/sgregs.h, captureregs.h)."""

import ctypes
import mmap
import os
import pathlib
import struct
import zlib

import numpy

MAGIC = int.from_bytes(b'hlfr', 'little')
STAMP_CRC = 8
LOG, LOG_ENTRIES = 0x800, 256
LOST, FRAMES = 0x104, 0x108

# By GStreamer's names: (bytes, pixels across, pixels down) of a sample of each plane.
SHAPES = {
    'YUY2': [(4, 2, 1)], 'UYVY': [(4, 2, 1)], 'GRAY8': [(1, 1, 1)], 'RGB': [(3, 1, 1)], 'BGRx': [(4, 1, 1)],
    'NV12': [(1, 1, 1), (2, 2, 2)], 'I420': [(1, 1, 1), (1, 2, 2), (1, 2, 2)],
}


def visible(pixels, width, height, planes):
    """What is visible of a frame; `planes` are (bytes, offset, stride)."""
    parts = []
    for (size, across, down), (data, offset, stride) in zip(SHAPES[pixels], planes, strict=True):
        row, rows = -(-width // across) * size, -(-height // down)
        if row == stride:
            parts.append(data[offset:offset + row * rows])
        else:
            parts += [data[offset + stride * y:offset + stride * y + row] for y in range(rows)]
    return b''.join(parts)


def stamp(frame):
    """(number, CRC) as the card wrote them; the visible bytes of the frame have to agree with the CRC."""
    magic, number, crc = struct.unpack_from('<III', frame)
    if magic != MAGIC:
        raise AssertionError(f'no frame of the card: it begins with {frame[:12].hex()}')
    found = zlib.crc32(frame[STAMP_CRC + 4:], zlib.crc32(frame[:STAMP_CRC]))
    if found != crc:
        raise AssertionError(f'frame {number} has the CRC {found:08x}, its stamp says {crc:08x}')
    return number, crc


class Registers:
    """Those of the capture card, read from its BAR past its driver."""

    def __init__(self, node=None):
        name = os.path.basename(node or os.environ['HL_VM_CARD'])
        self.device = (pathlib.Path('/sys/class/video4linux') / name / 'device').resolve()

    def __enter__(self):
        with open(self.device / 'resource0', 'r+b', buffering=0) as bar:
            self._map = mmap.mmap(bar.fileno(), 4096)
        self._words = (ctypes.c_uint32 * 1024).from_buffer(self._map)
        return self

    def __exit__(self, *_):
        del self._words
        self._map.close()

    def read(self, offset):
        return self._words[offset // 4]

    def crc(self, number):
        """Of a frame among the last 256; None: the card does not know it."""
        entry = LOG + 8 * (number % LOG_ENTRIES)
        return self.read(entry + 4) if self.read(entry) == number else None


def picture(pixels, width, height, number):
    """The visible bytes of a frame as the card makes it (tests/gaudi-emulator/card/framepainter.cpp), for formats of one byte a component and pixel."""
    components = {'BGRx': (170, 85, 0, 0), 'RGB': (0, 85, 170), 'GRAY8': (0,)}[pixels]
    across, down = (numpy.arange(size, dtype=numpy.uint64).astype(numpy.uint8) for size in (width, height))
    first = (across[:, None] + numpy.array(components, numpy.uint8)).reshape(-1)        # a row of phase 0; bytes wrap round
    frame = bytearray((first[None, :] + (2 * down + numpy.uint8(6 * number % 256))[:, None]).tobytes())
    struct.pack_into('<II', frame, 0, MAGIC, number)
    struct.pack_into('<I', frame, STAMP_CRC, zlib.crc32(frame[STAMP_CRC + 4:], zlib.crc32(frame[:STAMP_CRC])))
    return bytes(frame)
