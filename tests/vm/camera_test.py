#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stock camera element works on every vivid, with and without our elements behind it, and with the demo's model as users type it. Witnesses of who moved the frames: the process's mappings, where
the camera's own memory would be, and the kernel's count of who holds each dma-buf."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import kernelwitness
from tracedline import cpu_copies, read_hops

CAMERAS = ('HL_VM_VIVID_VMALLOC', 'HL_VM_VIVID_CONTIG', 'HL_VM_VIVID_VMALLOC_MPLANE', 'HL_VM_VIVID_CONTIG_MPLANE')
QUEUE = 2       # frames that v4l2src gives to the driver, at least


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


class DemoLine:
    """A camera's frames to the demo's model: how that ended, and what was seen of it meanwhile."""

    SECONDS = 400                       # the model takes 0.7 s a frame where the processor is emulated, twice that on a busy machine

    def __init__(self, mode, zero_copy, frames):
        text = f'v4l2src device=/dev/video0 io-mode={mode} num-buffers={frames} ! hlinfer zero-copy={zero_copy} model=builtin:demo ! hltensordec ! fakesink'
        self.mapped, self.held, waited = False, 0, 0
        with tempfile.TemporaryDirectory() as directory:
            said, hops = (pathlib.Path(directory, name) for name in ('said', 'hops'))
            with said.open('wb') as output:
                environment = os.environ | {'GST_TRACERS': f'hlcopies(file={hops},format=json)'}
                process = subprocess.Popen(['gst-launch-1.0', *text.split()], stdout=output, stderr=output, env=environment)
            try:
                while self._runs(process) and waited < self.SECONDS:
                    waited += 1
                    self._look(process)
            finally:
                process.kill()
                self.status = process.wait()
            self.said, self.hops = said.read_text(encoding='utf-8'), read_hops(hops)

    @staticmethod
    def _runs(process):
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _look(self, process):
        """Whether the camera's memory is mapped, and how many of our dma-bufs somebody else holds, at most."""
        try:
            self.mapped |= '/dev/video0\n' in pathlib.Path(f'/proc/{process.pid}/maps').read_text(encoding='utf-8')
        except ProcessLookupError:
            return
        self.held = max(self.held, len(kernelwitness.held()))

    def frames(self):
        return {hop['frames'] for hop in self.hops.values()}


class Demo(unittest.TestCase):
    def test_a_camera_that_imports_makes_no_copy(self):
        line = DemoLine('dmabuf-import', 'require', 30)    # a run of the model takes a second here
        self.assertEqual(line.status, 0, line.said)
        self.assertEqual(line.frames(), {30}, line.hops)
        self.assertEqual(cpu_copies(line.hops), {})
        self.assertFalse(line.mapped, "the camera's own memory was mapped")
        self.assertGreaterEqual(line.held, QUEUE)

    def test_the_cameras_own_memory_is_refused_with_the_line_that_works(self):
        line = DemoLine('mmap', 'require', 30)
        self.assertGreater(line.status, 0, line.said)
        self.assertRegex(line.said, r'ERROR: from element \S*hlinfer0: HL-CPY-001: (?s:.*)io-mode=dmabuf-import')

    def test_the_cameras_own_memory_costs_one_copy_a_frame(self):
        line = DemoLine('mmap', 'auto', 10)
        self.assertEqual(line.status, 0, line.said)
        self.assertEqual(line.frames(), {10}, line.hops)
        self.assertEqual(cpu_copies(line.hops), {'hlinfer0': 10})
        self.assertTrue(line.mapped)
        self.assertEqual(line.held, 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
