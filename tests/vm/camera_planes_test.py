#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A camera whose driver writes each plane to a buffer of its own imports the frames of planes=multi, and who sets the wrong kind is told the right one. Witnesses: the kernel's list of dma-bufs has
every plane by inode, and every pixel is that of a capture into the driver's own memory."""

import json
import os
import pathlib
import subprocess
import unittest

from tracedline import GstAllocators, TracedLine
from camera_matrix_test import Filled, captured, v4l2

SINGLE, MULTI, CONTIG = 'HL_VM_VIVID_VMALLOC', 'HL_VM_VIVID_VMALLOC_MPLANE', 'HL_VM_VIVID_CONTIG_MPLANE'
FRAMES = 30
FORMATS = {'NV12': ('NM12', 'NV12', 2), 'I420': ('YM12', 'YU12', 3), 'YUY2': ('YUYV', 'YUYV', 1)}  # V4L2, DRM, planes
LINES = {'hlinfer name=ours model=builtin:null zero-copy=require planes={}': {},
         'hlupload name=ours zero-copy=require planes={} ! hlinfer model=builtin:null zero-copy=require ! hldownload': {'ours': FRAMES}}


def camera(variable, caps):
    return f'v4l2src name=camera device={os.environ[variable]} io-mode=dmabuf-import num-buffers={FRAMES} ! {caps}'


def system_caps(pixels, width=320, height=180):
    return f'video/x-raw,format={pixels},width={width},height={height},framerate=60/1'


def drm_caps(pixels):
    return f'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format={FORMATS[pixels][1]},width=320,height=180,framerate=60/1'


class Planes(Filled):
    """Also the inodes of each frame's planes."""

    def __init__(self):
        super().__init__()
        self.planes = []

    def _left(self, buffer):
        memories = [buffer.peek_memory(i) for i in range(buffer.n_memory())]
        self.planes.append([os.fstat(GstAllocators.fd_memory_get_fd(memory)).st_ino for memory in memories])
        super()._left(buffer)


class CameraPlanes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for variable in (MULTI, CONTIG):
            v4l2(variable, '-c', 'osd_text_mode=2,test_pattern=4')    # squares of colours, and no clock in the picture: all frames are alike
            cls.addClassCleanup(v4l2, variable, '-c', 'osd_text_mode=0,test_pattern=0')

    def check(self, pixels, caps, rest, uploads, variable=MULTI, seen=lambda data: data):
        fourcc, _, planes = FORMATS[pixels]
        filled = Planes()
        with TracedLine(f'{camera(variable, caps)} ! {rest} ! fakesink name=sink', prepare=filled.watch) as line:
            self.assertIsNone(line.error)
        self.assertEqual(len(filled.planes), FRAMES)
        for inodes, kernel in zip(filled.planes, filled.kernel):
            self.assertEqual(len(set(inodes)), planes, inodes)
            self.assertEqual({kernel[inode].exporter for inode in inodes}, {'udmabuf'})
            self.assertEqual({one.exporter for one in kernel.values()}, {'udmabuf'}, 'somebody else has frames too')
            queued = [one for inode, one in kernel.items() if one.holders > 1]
            self.assertGreaterEqual(len(queued), planes, 'vivid holds none of our frames')
        self.assertEqual(line.cpu_copies(), {})
        self.assertEqual({name: hop['uploads'] for name, hop in line.hops.items() if hop['uploads']}, uploads)
        self.assertIn(f"'{fourcc}'", v4l2(variable, '--get-fmt-video'))
        wanted = seen(captured(variable))
        self.assertGreater(len(set(wanted)), 4, 'a picture that could show no error')
        self.assertEqual([seen(arrived) == wanted for arrived in filled.arrived], [True] * FRAMES, 'other pixels')

    def test_every_plane_is_imported(self):
        for rest, uploads in LINES.items():
            for pixels in FORMATS:
                for caps in (system_caps(pixels), drm_caps(pixels)):
                    with self.subTest(rest=rest, caps=caps):
                        self.check(pixels, caps, rest.format('multi'), uploads)

    def test_a_driver_that_needs_one_stretch_gets_a_huge_page_for_each_plane(self):
        for rest, uploads in LINES.items():
            with self.subTest(rest=rest):
                self.check('NV12', system_caps('NV12'), rest.format('multi'), uploads, CONTIG)

    # A stride of 64 bytes, which v4l2src has to ask of the driver, and planes of no whole page.
    def test_rows_with_padding(self):
        v4l2(MULTI, '-i', '3', '--set-dv-bt-timings', 'index=0')    # an input that scales to any size
        self.addCleanup(v4l2, MULTI, '-i', '0')
        for rest, uploads in LINES.items():
            with self.subTest(rest=rest):
                self.check('NV12', system_caps('NV12', 62, 30).replace('60/1', '[1/1,120/1]'), rest.format('multi'), uploads,
                           seen=lambda data: [data[at:at + 62] for at in range(0, len(data), 64)])

    def test_the_wrong_kind_is_told_the_right_one(self):
        for variable, wrong, right, fourcc in ((MULTI, 'single', 'multi', 'NM12'), (SINGLE, 'multi', 'single', 'NV12')):
            for rest in LINES:
                with self.subTest(rest=rest, camera=variable):
                    with TracedLine(f'{camera(variable, system_caps("NV12"))} ! {rest.format(wrong)} ! fakesink name=sink') as line:
                        pass
                    self.assertRegex(line.error or '', rf'(?s)^{rest.split()[0]}: HL-IMP-010: .*{os.environ[variable]}.*{fourcc} 320x180.*planes={right}')

    def test_the_demo_finds_out_by_itself(self):
        demo = pathlib.Path(os.environ['HL_BUILD_DIR']) / 'examples' / 'camera-demo' / 'camera-demo'
        done = subprocess.run([demo, '--camera', os.environ[MULTI], '--frames', '5', '--json'], capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout.splitlines()[-1])
        self.assertIn('each plane by itself', report['how'], done.stderr)
        self.assertEqual({hop['element']: hop['cpu-copies'] for hop in report['hops'] if hop['cpu-copies']}, {})


if __name__ == '__main__':
    unittest.main(verbosity=2)
