#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stock camera element imports our frames in every format. Witnesses: the kernel's list of dma-bufs, by inode, names the exporter and the holders of each frame that the camera filled; and
every pixel is that of a capture into the driver's own memory. That the simulated device reaches the frames is shown for the lines through hlupload only: the other model reads no pixels."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from tracedline import TracedLine, describe
import kernelwitness

WIDTH, HEIGHT, FRAMES = 640, 360, 5
V4L2_OF = {'NV12': 'NV12', 'YUY2': 'YUYV', 'UYVY': 'UYVY', 'RGB': 'RGB3', 'BGRx': 'XR24|BGR4'}
DRM_OF = {'NV12': 'NV12', 'YUY2': 'YUYV', 'UYVY': 'UYVY', 'RGB': 'BG24', 'BGRx': 'XR24'}
EXPORTER = 'udmabuf'        # of host frames; the driver's own frames come from videobuf2_vmalloc
CAMERAS = ('HL_VM_VIVID_VMALLOC', 'HL_VM_VIVID_CONTIG')


def v4l2(variable, *arguments):
    return subprocess.run(['v4l2-ctl', '-d', os.environ[variable], *arguments], capture_output=True, check=True, text=True).stdout


def system_caps(pixels):
    return f'video/x-raw,format={pixels},width={WIDTH},height={HEIGHT}'


def drm_caps(pixels):
    return f'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format={DRM_OF[pixels]},width={WIDTH},height={HEIGHT}'


def camera(variable, caps, mode='dmabuf-import', frames=FRAMES):
    return f'v4l2src name=camera device={os.environ[variable]} io-mode={mode} num-buffers={frames} ! {caps}'


def captured(variable):
    """A picture as the driver writes it into memory of its own, in the format that the camera was left in."""
    with tempfile.NamedTemporaryFile() as file:
        v4l2(variable, '--stream-mmap', '--stream-count=1', f'--stream-to={file.name}')
        return pathlib.Path(file.name).read_bytes()


class Filled:
    """What left the camera, and what the kernel said of it then; and the pixels that arrived at the sink."""

    def __init__(self):
        self.frames, self.kernel, self.arrived = [], [], []

    def watch(self, line):
        line.each_frame(self._left, 'camera', 'src')
        line.each_frame(lambda buffer: self.arrived.append(buffer.extract_dup(0, buffer.get_size())))

    def _left(self, buffer):
        self.frames.append(describe(buffer))
        self.kernel.append(kernelwitness.dmabufs())


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for variable in CAMERAS:
            v4l2(variable, '-c', 'osd_text_mode=2,test_pattern=4')    # squares of colours, and no clock in the picture: all frames are alike
            cls.addClassCleanup(v4l2, variable, '-c', 'osd_text_mode=0,test_pattern=0')

    def check_filled(self, filled):
        """The camera's driver has written into dma-bufs that we exported, and holds the rest of them."""
        self.assertEqual(len(filled.frames), FRAMES)
        for frame, kernel in zip(filled.frames, filled.kernel):
            self.assertTrue(frame.ours, frame)
            self.assertIn(frame.inode, kernel, 'the kernel knows no such dma-buf')
            self.assertEqual(kernel[frame.inode].exporter, EXPORTER)
            held = {inode for inode, one in kernel.items() if one.holders > 1 and one.exporter == EXPORTER}
            self.assertTrue(held, 'vivid holds none of our frames')
            self.assertEqual({one.exporter for one in kernel.values()}, {EXPORTER}, 'somebody else has frames too')

    def check_line(self, pixels, caps, rest, uploads):
        filled = Filled()
        with TracedLine(f'{camera("HL_VM_VIVID_VMALLOC", caps)} ! {rest} ! fakesink name=sink', prepare=filled.watch) as line:
            self.assertIsNone(line.error)
            self.check_filled(filled)
        self.assertEqual(line.cpu_copies(), {})
        self.assertEqual({name: hop['uploads'] for name, hop in line.hops.items() if hop['uploads']}, uploads)
        self.assertRegex(v4l2('HL_VM_VIVID_VMALLOC', '--get-fmt-video'), rf"Pixel Format *: '({V4L2_OF[pixels]})'")
        wanted = captured('HL_VM_VIVID_VMALLOC')
        self.assertNotEqual(wanted[:len(wanted) // 16], wanted[len(wanted) // 4:][:len(wanted) // 16], 'a picture that could show no error')
        self.assertEqual([arrived == wanted for arrived in filled.arrived], [True] * FRAMES, 'other pixels')

    def check_matrix(self, rest, uploads):
        for pixels in V4L2_OF:
            for caps in (system_caps(pixels), drm_caps(pixels)):
                with self.subTest(caps):
                    self.check_line(pixels, caps, rest, uploads)

    def test_hlinfer_takes_the_cameras_frames_in_place(self):
        self.check_matrix('hlinfer name=infer model=builtin:null zero-copy=require', {})

    def test_hlupload_brings_the_cameras_frames_up_by_one_dma_each(self):
        self.check_matrix('hlupload name=up zero-copy=require ! hlinfer model=builtin:null zero-copy=require ! hldownload', {'up': FRAMES})

    # vb2_dc_map_dmabuf() wants one contiguous chunk, and whether a host frame is one is a matter of luck: such a camera is read the other way.
    def test_a_camera_that_needs_one_stretch_works_at_a_copy_for_each_frame(self):
        for pixels in V4L2_OF:
            with self.subTest(pixels):
                with TracedLine(f'{camera("HL_VM_VIVID_CONTIG", system_caps(pixels), mode="mmap")} ! hlupload name=up ! fakesink name=sink') as line:
                    self.assertIsNone(line.error)
                self.assertEqual([frame.ours for frame in line.frames], [True] * FRAMES)
                self.assertEqual(line.cpu_copies(), {'up': FRAMES})


if __name__ == '__main__':
    unittest.main(verbosity=2)
