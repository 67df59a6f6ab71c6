#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stock camera element works on every vivid, with and without our elements behind it."""

import os
import subprocess
import unittest

CAMERAS = ('HL_VM_VIVID_VMALLOC', 'HL_VM_VIVID_CONTIG', 'HL_VM_VIVID_VMALLOC_MPLANE', 'HL_VM_VIVID_CONTIG_MPLANE')


def launch(line):
    return subprocess.run(['gst-launch-1.0', *line.split()], capture_output=True, text=True, timeout=60, check=False)


class Camera(unittest.TestCase):
    def check(self, line):
        done = launch(line)
        self.assertEqual(done.returncode, 0, f'{line}\n{done.stdout}{done.stderr}')

    def test_plain_line(self):
        self.check('v4l2src device=/dev/video0 num-buffers=30 ! fakesink')

    def test_every_camera(self):
        for variable in CAMERAS:
            with self.subTest(variable):
                self.check(f'v4l2src device={os.environ[variable]} num-buffers=5 ! video/x-raw,format=NV12,width=320,height=180 ! fakesink')

    def test_the_driver_writes_into_frames_of_hlinfer(self):
        self.check('v4l2src device=/dev/video0 io-mode=dmabuf-import num-buffers=5 ! video/x-raw,format=NV12,width=320,height=180 ! hlinfer model=builtin:null zero-copy=require ! fakesink')

    def test_frames_copied_by_the_driver_reach_hlinfer(self):
        self.check('v4l2src device=/dev/video0 io-mode=mmap num-buffers=5 ! video/x-raw,format=NV12,width=320,height=180 ! hlinfer model=builtin:null ! fakesink')


if __name__ == '__main__':
    unittest.main(verbosity=2)
