#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make_corpus.py [--check] DIRECTORY: the seeds of tests/fuzz's targets, a folder for each. What a fuzzer found has a name that says what was wrong."""

import struct
import sys

import corpusfiles

HEAD = '[modelinfo]\nversion=1.0\n'
MODELINFO = {
    'detector': HEAD + '''group-id=detector

[images]
dir=input
type=uint8
dims=1,3,-1,640
dims-order=row-major
ranges=-1.0,1.0;0.0,255.0;0.5,2

[out/put:0]
dir=output
id=yolo-v8-out
type=float32
dims=1,84,8400
dims-order=col-major

[gst-habana]
engine=onnx
labels=names.txt
scale-mode=letterbox
pad-value=7
colour=BGR
mean=123.7,116.3,103.5
scale=0.017
''',
    'null': HEAD + '[gst-habana]\nengine=null\nplanes=nv12\n',
    'newer': '[modelinfo]\nversion=1.7\nfuture=yes\n',
    'other_version': '[modelinfo]\nversion=2.0\n',
    'placeholder': HEAD + '[t]\ndir=output\ntype=int8\nid=PLACEHOLDER_1\n',
    'bad_dims': HEAD + '[t]\ndir=output\ntype=int64\ndims=0,-2,1099511627777\n',
    'many_dims': HEAD + '[t]\ndir=output\ntype=float16\ndims=1,2,3,4,5,6,7,8,9\n',
    'bad_range': HEAD + '[t]\ndir=input\ntype=float32\nranges=1,0\n',
    'not_ini': 'version=1.0\n',
    'long_section': HEAD + '[' + 'x' * 2000 + ']\ndir=up\n',
    'long_line': 'x' * 2000 + '\n',
    'long_version': '[modelinfo]\nversion=2' + ' ' * 2000 + '.0\n',
    'line_end_in_id': HEAD + 'group-id=a\\\\b\\rc\n[t]\ndir=output\ntype=float32\nid=a\\nb\\tc\n',
    'line_end_in_version': '[modelinfo]\nversion=1.\\n0\n',
    'blank_before_id': HEAD + '[t]\ndir=output\ntype=float32\nid=\\s\f a\n',
    'range_too_small': HEAD + '[t]\ndir=input\ntype=float32\nranges=0,1e-300\n',
    'range_too_large': HEAD + '[t]\ndir=input\ntype=float32\nranges=-1e308,1e308\n',
    'range_far_away': HEAD + '[t]\ndir=input\ntype=float32\nranges=1e30,1.00000001e30\n',
    'locale': HEAD + '[t]\ndir=output\ndir[de]=input\ntype=float32\n',
}

LABELS = {
    'three': 'circle\n  red square\t\r\ntriangle',
    'mark': '\ufeffK\u00e4se\n\nBrot\n\n',
    'widths': '\u00e9\u20ac\U0001f600\n',
    'blank': ' \n\t\n',
    'zero': 'a\0b',
}
LABEL_BYTES = {
    'cut_off': 'K\u00e4'.encode()[:-1],
    'latin1': 'K\u00e4se'.encode('latin-1'),
    'lone_continuation': b'\x80\n',
    'overlong': b'\xe0\x80\x80\n',
    'overlong_4': b'\xf0\x80\x80\x80\n',
    'surrogate': b'\xed\xa0\x80\n',
    'beyond_unicode': b'\xf4\x90\x80\x80\n',
}

FAULTS = {
    'all_points': 'alloc:1=ENOMEM,export:2=EMFILE,copy:3=EIO,submit:4=EAGAIN,frame:5=ENODEV',
    'timed': ' copy:1=delay:20ms , submit:2=delay:3600s,frame:9=delay:1us,copy:2=stall',
    'lost': 'lost@alloc:1,lost@frame:18446744073709551615,hbm-full',
    'misplaced': 'alloc:1=stall',
    'zeroth': 'copy:0=EIO',
    'long_delay': 'copy:1=delay:3601s',
    'empty_item': 'hbm-full,,hbm-full',
}

DEVICESPEC = {
    'auto': 'auto', 'sim': 'sim', 'named': 'sim:A-z_0.9', 'accel': 'accel0', 'module': 'module:3', 'pci': '0000:4D:00.0',
    'no_name': 'sim:', 'accel_of_too_many': 'accel4294967296', 'signed': 'module:-1', 'function_8': '0000:4d:00.8', 'long': 'sim:' + 'x' * 65,
}


def tensor(dims, values, flags=4, labels=0, size=(640, 480), score=128, iou=128, most=99, type_=None, transform=None):
    """As fuzztensors.cpp read_setup() takes it."""
    out = struct.pack('<B', len(dims)) + struct.pack(f'<{len(dims)}h', *dims) + struct.pack('<B', flags)
    if type_ is not None:
        out += struct.pack('<B', type_)
    out += struct.pack('<HHHBBB', labels, size[0] - 1, size[1] - 1, score, iou, most)
    if transform is not None:
        out += struct.pack('<4f', *transform)
    return out + struct.pack(f'<{len(values)}f', *values)


NAN, INF = float('nan'), float('inf')
TWO_BOXES = [100, 102, 300, 0, 0, 0, 100, 102, 300, 0, 0, 0, 50, 50, 60, 1, 0, 0, 50, 50, 60, 1, 0, 0, 0.9, 0.8, 0.7, 0, 0, 0]
TENSORS = {
    'boxes': tensor((1, 5, 6), TWO_BOXES),
    'boxes_first': tensor((1, 6, 5), [100, 100, 50, 50, 0.9], labels=1),
    'column_major': tensor((1, 5, 6), TWO_BOXES, flags=6),
    'letterboxed': tensor((1, 5, 6), TWO_BOXES, flags=20, transform=(0.5, 0.5, 0, 80)),
    'no_scale': tensor((1, 5, 6), TWO_BOXES, flags=20, transform=(0, NAN, INF, -INF)),
    'not_numbers': tensor((1, 6, 7), [NAN, INF, -INF, 1e38, -1e38, 0.5, 1.0]),
    'other_type': tensor((1, 5, 6), TWO_BOXES, flags=12, type_=8),
    'unknown_dim': tensor((1, -1, 6), []),
    'rank_2': tensor((84, 100), [1.0]),
    'no_dims': tensor((), []),
    'blocks': tensor((1, 6, 1100), [0.1, 200.0, 0.7, 30.0, 0.99]),
}


def tree(*functions, cpu='', symbols='', iommu='DMA-FQ\n'):
    """As fuzzpcitree.cpp takes it: for port, Gaudi and camera (config, resource, class, vendor), then three files."""
    texts = [text if isinstance(text, bytes) else text.encode() for function in functions for text in function]
    texts += [text.encode() for text in (cpu, symbols, iommu)]
    return b''.join(struct.pack('<H', len(text)) + text for text in texts)


def config(port, size=4096, acs=None, next_=0):
    """Configuration space with a PCI Express capability, and Access Control Services."""
    out = bytearray(size)
    out[6], out[0x34], out[0x40], out[0x41], out[0x42] = 0x10, 0x40, 0x10, next_, port << 4
    if size > 0x100 and acs is not None:
        out[0x100:0x108] = struct.pack('<HHHH', 0x000d, 1, 0, acs)
    return bytes(out)


BARS = '0x0000002000000000 0x0000003fffffffff 0x000000000014220c\n'
AMD, SYMBOLS = 'vendor_id\t: AuthenticAMD\ncpu family\t: 25\n', '0 T pci_enable_device\n0 T pci_p2pdma_distance_many\n'
WHOLE = [(config(4, acs=0x1d), '', '0x060400\n', '0x8086\n'), (config(0), BARS * 6, '0x120000\n', '0x1da3\n'), (config(0), BARS, '0x040000\n', '0x1234\n')]
PCITREE = {
    'whole': tree(*WHOLE, cpu=AMD, symbols=SYMBOLS),
    'without_root': tree(*[(c[:64], r, k, v) for c, r, k, v in WHOLE], cpu='vendor_id : GenuineIntel\n', symbols='0 T other\n'),
    'empty': b'',
    'capability_ring': tree((config(6, size=256, next_=0x40), 'x', '', '0x'), ('', '0x1 0x0 0x0', '0x', 'zz'), ('', '', '', '')),
    'config_ends_at_the_head': tree((config(5, size=0x101), '', '', ''), (b'\x10' * 0x42, '', '', '')),
}


def encoded(seeds):
    return {name: seed if isinstance(seed, bytes) else seed.encode() for name, seed in seeds.items()}


SEEDS = {f'{target}/{name}': seed for target, seeds in {
    'modelinfo': MODELINFO, 'labels': LABELS | LABEL_BYTES, 'faults': FAULTS, 'devicespec': DEVICESPEC, 'tensors': TENSORS, 'pcitree': PCITREE,
}.items() for name, seed in encoded(seeds).items()}

if __name__ == '__main__':
    sys.exit(corpusfiles.main(SEEDS))
