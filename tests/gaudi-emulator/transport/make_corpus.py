#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make_corpus.py [--check] DIRECTORY: the fuzzers' seeds, streams of vfio-user messages (QEMU: docs/interop/vfio-user.rst)."""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / 'fuzz'))
import corpusfiles

VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, REGION_INFO, IRQ_INFO, SET_IRQS, READ, WRITE, DMA_READ, DMA_WRITE, RESET, WRITE_MULTI, FEATURE = 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20                # header flags; a request has none
READABLE_WRITABLE, UNMAP_ALL = 3, 2
PAGE, CONFIG = 4096, 7                                  # CONFIG: the region of config space


def message(command, payload=b'', flags=0, size=None, error=0):
    return struct.pack('<HHIII', 9, command, 16 + len(payload) if size is None else size, flags, error) + payload


def dma_map(address, size):
    return message(DMA_MAP, struct.pack('<IIQQQ', 32, READABLE_WRITABLE, 0, address, size))


def dma_unmap(address, size, flags=0):
    return message(DMA_UNMAP, struct.pack('<IIQQ', 24, flags, address, size))


def access(offset, region, count):
    return struct.pack('<QII', offset, region, count)


def write(offset, region, data, count=None, flags=0):
    return message(WRITE, access(offset, region, len(data) if count is None else count) + data, flags)


def region_info(room, region):
    return message(REGION_INFO, struct.pack('<IIIIQQ', room, 0, region, 0, 0, 0))


def set_irqs(flags, index, start, count):
    return message(SET_IRQS, struct.pack('<IIIII', 20, flags, index, start, count))


def version(text):
    return message(VERSION, struct.pack('<HH', 0, 0) + text)


SEEDS = {
    'cut_off': message(READ, b'\0' * 4, size=32),
    'device_feature': message(FEATURE, struct.pack('<II', 8, 0x10001)),
    'dma_map': dma_map(0, 1 << 31),
    'dma_map_last_page': dma_map((1 << 64) - PAGE, PAGE) + dma_unmap(0, 1 << 63),
    'dma_map_overlap': dma_map(0, 2 * PAGE) + dma_map(PAGE, PAGE),
    'dma_map_wraps': dma_map((1 << 64) - PAGE, 2 * PAGE),
    'dma_unmap': dma_map(0, 2 * PAGE) + dma_unmap(PAGE, PAGE) + dma_unmap(0, 2 * PAGE),
    'dma_unmap_all': dma_unmap(0, 0, UNMAP_ALL),
    'get_info': message(GET_INFO, struct.pack('<IIII', 16, 0, 0, 0)),
    'header_huge': message(RESET, size=0xffffffff),
    'header_short': message(RESET, size=15),
    'header_type': message(RESET, flags=7),
    'irq_info': b''.join(message(IRQ_INFO, struct.pack('<IIII', 16, 0, index, 0)) for index in range(6)),
    'msix_table': message(READ, access(0, 4, 16)) + write(0x1000, 4, b'\0' * 8),
    'read_bar': message(READ, access(3, 0, 13)),
    'read_beyond': message(READ, access((1 << 64) - 1, 0, 8)),
    'read_config': message(READ, access(0, CONFIG, 64)) + message(READ, access(PAGE - 6, CONFIG, 6)),
    'read_too_much': message(READ, access(0, 2, 0xffffffff)),
    'region_info': b''.join(region_info(room, region) for region in range(10) for room in (32, 80)),
    'reply_nobody_waits_for': message(DMA_READ, struct.pack('<QQQ', 0, 8, 0), REPLY) + message(DMA_WRITE, flags=REPLY | ERROR, error=14),
    'reset': message(RESET),
    'set_irqs_beyond': set_irqs(0x21, 2, 0xffffffff, 2),
    'set_irqs_eventfd': set_irqs(0x24, 2, 0, 1),
    'set_irqs_none': set_irqs(0x21, 2, 0, 0),
    'set_irqs_raise': set_irqs(0x21, 2, 0x27, 1),
    'unknown': message(99, b'x' * 40),
    'version': version(b'{"capabilities":{"max_data_xfer_size":4096,"max_msg_fds":8}}\0'),
    'version_nested': version(b'[' * 2000 + b'\0'),
    'version_unterminated': version(b'{}'),
    'write_bar_posted': write(0x100, 0, b'12345678', flags=NO_REPLY),
    'write_config': write(4, CONFIG, b'\x06\0') + write(0x48, CONFIG, b'\0\x80'),
    'write_multi': message(WRITE_MULTI, struct.pack('<QQQQ', 1, 0, 8 << 32, 0)),
    'write_short': write(0x100, 0, b'1234', 8),
}


if __name__ == '__main__':
    sys.exit(corpusfiles.main({f'{name}.bin': stream for name, stream in SEEDS.items()}))
