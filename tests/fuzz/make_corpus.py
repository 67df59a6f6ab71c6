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
    'more_points': 'open:1=EACCES,recover:1=EBUSY,alloc-host:2=ENOMEM,pages:1=EMFILE,run:3=EIO,submit:1=stall:20ms,fence:1=ETIMEDOUT',
    'zeroth': 'copy:0=EIO',
    'long_delay': 'copy:1=delay:3601s',
    'empty_item': 'hbm-full,,hbm-full',
}

DEVICESPEC = {
    'auto': 'auto', 'sim': 'sim', 'named': 'sim:A-z_0.9', 'accel': 'accel0', 'module': 'module:3', 'pci': '0000:4D:00.0',
    'no_name': 'sim:', 'accel_of_too_many': 'accel4294967296', 'signed': 'module:-1', 'function_8': '0000:4d:00.8', 'long': 'sim:' + 'x' * 65,
}


FLOAT32 = 10        # core/dtype.h
YOLOV8, YOLOV5, SSD, CLASSIFIER, YOLOV8_SEG = range(5)      # inference/tensordecoder.h
CLASS_AWARE, SOFTMAX, TRANSFORM, MODEL_SIZE, WANTED, WIDE = (1 << bit for bit in range(6))


def tensors(kind, shapes, values, flags=CLASS_AWARE, labels=0, size=(640, 480), score=128, iou=128, most=99, top_k=0, types=None, transform=None, model=None, wanted=None):
    """As fuzztensors.cpp read_setup() takes it."""
    for bit, given in ((TRANSFORM, transform), (MODEL_SIZE, model), (WANTED, wanted)):
        flags |= bit if given is not None else 0
    out = struct.pack('<BBHHHBBBBB', kind, flags, labels, size[0] - 1, size[1] - 1, score, iou, most, 255, top_k)
    out += struct.pack('<4f', *transform) if transform is not None else b''
    out += struct.pack('<HH', *model) if model is not None else b''
    out += struct.pack('<B', wanted) if wanted is not None else b''
    for shape, type_ in zip(shapes, types or [FLOAT32] * len(shapes)):
        out += struct.pack('<B', len(shape)) + struct.pack(f'<{len(shape)}h', *shape) + struct.pack('<B', type_)
    return out + (values if isinstance(values, bytes) else struct.pack(f'<{len(values)}f', *values))


NAN, INF = float('nan'), float('inf')
TWO_BOXES = [100, 102, 300, 0, 0, 0, 100, 102, 300, 0, 0, 0, 50, 50, 60, 1, 0, 0, 50, 50, 60, 1, 0, 0, 0.9, 0.8, 0.7, 0, 0, 0]
THREE_OF_SSD = [0.1, 0.1, 0.4, 0.4, 0.2, 0.2, 0.9, 0.8, NAN, 0, 1, 1]
TENSORS = {
    'boxes': tensors(YOLOV8, [(1, 5, 6)], TWO_BOXES),
    'boxes_first': tensors(YOLOV8, [(1, 6, 5)], [100, 100, 50, 50, 0.9], labels=1),
    'letterboxed': tensors(YOLOV8, [(1, 5, 6)], TWO_BOXES, transform=(0.5, 0.5, 0, 80)),
    'no_scale': tensors(YOLOV8, [(1, 5, 6)], TWO_BOXES, transform=(0, NAN, INF, -INF)),
    'not_wanted': tensors(YOLOV8, [(1, 5, 6)], TWO_BOXES, wanted=2),
    'not_numbers': tensors(YOLOV8, [(1, 6, 7)], [NAN, INF, -INF, 1e38, -1e38, 0.5, 1.0]),
    'other_type': tensors(YOLOV8, [(1, 5, 6)], TWO_BOXES, types=[8]),
    'unknown_dim': tensors(YOLOV8, [(1, -1, 6)], []),
    'rank_2': tensors(YOLOV8, [(84, 100)], [1.0]),
    'no_dims': tensors(YOLOV8, [()], []),
    'slivers': tensors(YOLOV8, [(1, 5, 6)], [1e-25] * 6 + [50] * 6 + [1e-25] * 6 + [1e-25] * 6 + [0.9] * 6),
    'blocks': tensors(YOLOV8, [(1, 6, 1100)], [0.1, 200.0, 0.7, 30.0, 0.99]),
    'objectness': tensors(YOLOV5, [(1, 3, 7)], [100, 100, 50, 50, 0.9, 0.1, 0.8, 102, 100, 50, 50, 0.8, 0, 0.9, 300, 300, 60, 60, NAN, 1, 1]),
    'ssd': tensors(SSD, [(1, 3, 4), (1, 3), (1, 3), (1,)], THREE_OF_SSD + [0.9, 0.8, INF, 1, 2, 3, 3]),
    'ssd_of_integers': tensors(SSD, [(1, 3, 4), (1, 3), (1, 3), (1,)], struct.pack('<15f3iq', *THREE_OF_SSD, 0.9, 0.8, 0.7, 1, -1, 70000, -5), types=[FLOAT32, FLOAT32, 5, 7]),
    'classifier': tensors(CLASSIFIER, [(1, 5)], [1, 2, 3, NAN, INF], flags=SOFTMAX, score=10, top_k=4),
    'classifier_of_bytes': tensors(CLASSIFIER, [(6,)], bytes([255, 0, 128, 7, 255, 254]), top_k=2, types=[0]),
    'masks': tensors(YOLOV8_SEG, [(1, 7, 9), (1, 2, 4, 4)], [100.0] * 18 + [50.0] * 18 + [0.9, 0.8, 0.7] * 3 + [1.0, -1.0, 0.5] * 6 + [1, -1, NAN, 0.25] * 8, model=(320, 320)),
}


def field(number, content):
    """A field of protobuf: a number, or bytes."""
    def varint(value):
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def elsewhere(location, **more):
    """TensorProto with external data."""
    pairs = {'location': location, **more}
    return field(1, 3) + b''.join(field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in pairs.items()) + field(14, 1)


def nested(depth):
    graph = field(5, elsewhere('deep.data'))
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return graph


MODELFILE = {
    'beside': field(1, 8) + field(7, field(5, elsewhere('weights.data', offset='4096', length='12'))),
    'outside': field(7, field(5, elsewhere('../../etc/passwd'))),
    'length_of_no_number': field(7, field(5, elsewhere('a', length='-1'))),
    'length_too_large': field(7, field(5, elsewhere('a', offset='9223372036854775807', length='9223372036854775807'))),
    'sparse': field(7, field(15, field(1, elsewhere('values')) + field(2, elsewhere('indices')))),
    'in_an_attribute': field(7, field(1, field(5, field(5, elsewhere('attribute'))))),
    'deep': field(7, nested(8)),
    'too_deep': field(7, nested(200)),
    'cut_off': field(7, field(5, elsewhere('weights.data')))[:-3],
    'beyond_its_message': b'\x3a\x7f\x2a\x05abc',
    'endless_number': b'\xff' * 16,
    'group': b'\x3b\x3c',
    'empty': b'',
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
    'modelinfo': MODELINFO, 'labels': LABELS | LABEL_BYTES, 'faults': FAULTS, 'devicespec': DEVICESPEC, 'tensors': TENSORS, 'modelfile': MODELFILE, 'pcitree': PCITREE,
}.items() for name, seed in encoded(seeds).items()}

if __name__ == '__main__':
    sys.exit(corpusfiles.main(SEEDS))
