#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""v4l2sink and V4L2's converter import our frames, and the driver gets the right pixels. Witnesses: vivid's output, connected to its capture inside the driver, gives back what it was sent;
the kernel's count of who holds each dma-buf, by inode."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from tracedline import TracedLine
import kernelwitness
import paddedframes

CONNECT = pathlib.Path(__file__).resolve().parents[2] / 'examples' / 'camera-demo' / 'connect'
WIDTH, HEIGHT = 640, 480
RGB_CAPS = f'video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=60/1'
COLOURS = (b'\xff\x00\x00', b'\x00\xff\x00', b'\x00\x00\xff', b'\xff\xff\xff', b'\x00\x00\x00')
ROWS = [b''.join(COLOURS[x * len(COLOURS) // WIDTH] for x in range(WIDTH))] * HEIGHT  # upright bars: any skew shows


def v4l2(variable, *arguments):
    subprocess.run(['v4l2-ctl', '-d', os.environ[variable], *arguments], capture_output=True, check=True)


def sink(mode='dmabuf-import'):
    return f'v4l2sink name=sink device={os.environ["HL_VM_VIVID_VMALLOC_OUT"]} io-mode={mode} sync=false'


def feed(padding):
    """Feeds an appsrc with four frames of upright bars, whose rows are that much longer than their pixels."""
    def push(source):
        for _ in range(4):
            source.push_buffer(paddedframes.rgb_frame(ROWS, padding))
    return push


def source(caps=RGB_CAPS):
    return f'appsrc name=source format=time caps={caps}'


class Output(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        timings = f'cvt,width={WIDTH},height={HEIGHT},fps=60'
        v4l2('HL_VM_VIVID_VMALLOC_OUT', '--set-dv-bt-timings', timings)
        subprocess.run([CONNECT, os.environ['HL_VM_VIVID_VMALLOC'], 'Output HDMI 000-0'], check=True)
        v4l2('HL_VM_VIVID_VMALLOC', '--set-input', '3', '-c', 'osd_text_mode=2')
        v4l2('HL_VM_VIVID_VMALLOC', '--set-dv-bt-timings', timings)
        v4l2('HL_VM_VIVID_VMALLOC', '--set-fmt-video', f'width={WIDTH},height={HEIGHT},pixelformat=RGB3')
        cls.addClassCleanup(v4l2, 'HL_VM_VIVID_VMALLOC', '--set-input', '0', '-c', 'osd_text_mode=0')

    def assert_sent(self, rows):
        """The picture that vivid sends now; noise, where it has none."""
        with tempfile.NamedTemporaryFile() as file:
            v4l2('HL_VM_VIVID_VMALLOC', '--stream-mmap', '--stream-count=2', f'--stream-to={file.name}')
            self.assertTrue(pathlib.Path(file.name).read_bytes().endswith(b''.join(rows)), 'another picture was sent')

    def imported(self, line):
        """The driver holds those of the frames that it was given last."""
        self.assertTrue(line.frames and all(frame.ours for frame in line.frames), line.frames)
        self.assertTrue(line.inodes & kernelwitness.held(), 'vivid holds none of our frames')

    def test_the_driver_takes_our_memory_in_every_format(self):
        for pixels in ('NV12', 'I420', 'RGB', 'BGRx'):
            with self.subTest(pixels):
                text = f'videotestsrc num-buffers=4 ! video/x-raw,format={pixels},width={WIDTH},height={HEIGHT},framerate=60/1 ! hlupload zero-copy=require ! hldownload ! {sink()}'
                with TracedLine(text) as line:
                    self.assertIsNone(line.error)
                    self.imported(line)
                self.assertEqual(line.cpu_copies(), {})

    def test_frames_that_came_down_from_gaudi_are_sent_pixel_for_pixel(self):
        with TracedLine(f'{source()} ! hlupload ! hldownload ! {sink()}', feed(0), frames=4) as line:
            self.assertIsNone(line.error)
            self.imported(line)
            self.assert_sent(ROWS)

    # gst_v4l2_buffer_pool_process() looks at no stride: without hldownload's copy these bars would lean.
    def test_padded_rows_are_straightened_and_said_to_be(self):
        for between in ('', 'queue ! '):
            with self.subTest(between):
                with TracedLine(f'{source()} ! hldownload name=down ! {between}{sink()}', feed(64), frames=4) as line:
                    self.assertIsNone(line.error)
                    self.imported(line)
                    self.assert_sent(ROWS)
                    told = line.told()
                self.assertEqual(line.cpu_copies(), {'down': 4})
                self.assertTrue(any('sink imports dma-bufs without a look at their strides' in text for text in told), told)

    def test_frames_without_padding_pass_as_they_are(self):
        with TracedLine(f'{source()} ! hldownload ! {sink()}', feed(0), frames=4) as line:
            self.assertIsNone(line.error)
            self.assertFalse(any(frame.ours for frame in line.frames))
            self.assertTrue(line.inodes & kernelwitness.held())
            self.assert_sent(ROWS)
        self.assertEqual(line.cpu_copies(), {})

    def test_padded_rows_are_refused_where_no_copy_is_allowed(self):
        with TracedLine(f'{source()} ! hldownload name=down zero-copy=require ! {sink()}', feed(64)) as line:
            self.assertRegex(line.error or '', r'^hldownload: .*HL-CPY-001')
            self.assertIn('strides', line.error)

    def test_system_memory_is_brought_to_where_the_driver_reads_it(self):
        text = f'videotestsrc num-buffers=4 ! {RGB_CAPS} ! hldownload name=down ! {sink()}'
        with TracedLine(text) as line:
            self.assertIsNone(line.error)
            self.imported(line)
        self.assertEqual(line.cpu_copies(), {'down': 4})

    def test_a_converter_takes_our_memory_and_fills_our_memory(self):
        text = (f'videotestsrc num-buffers=4 ! {RGB_CAPS} ! hlupload ! hldownload ! v4l2convert output-io-mode=dmabuf-import capture-io-mode=dmabuf-import ! video/x-raw,format=RGB ! '
                'hlinfer model=builtin:null zero-copy=require ! fakesink name=sink')
        with TracedLine(text) as line:
            self.assertIsNone(line.error)
        self.assertEqual([frame.ours for frame in line.frames], [True] * 4)
        self.assertEqual(line.cpu_copies(), {})


if __name__ == '__main__':
    unittest.main(verbosity=2)
