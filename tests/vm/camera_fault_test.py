#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cameras that fail, and machines that lack what importing needs: one clear error or a stream that goes on, nothing left behind, and the same pipeline plays again."""

import contextlib
import gc
import os
import pathlib
import resource
import subprocess
import unittest

import holdings
import vivid
from cameracase import CameraCase
from line import Gst, Line

CAMERA = os.environ['HL_VM_VIVID_VMALLOC']
UDMABUF = pathlib.Path(os.environ['HL_VM_UDMABUF'])
UDMABUF_LIMIT = pathlib.Path('/sys/module/udmabuf/parameters/size_limit_mb')
FORMAT = 'video/x-raw,format=NV12,width=320,height=180,framerate=60/1'
NOBODY = 65534
GONE = ('Could not read from resource', 'Failed to allocate a buffer')    # v4l2src's words where poll or where a queue call fails first


def line_of(caps=FORMAT, before='', source=f'device={CAMERA} io-mode=dmabuf-import', model='null', properties=''):
    return f'v4l2src name=camera {source} ! {caps} ! {before} hlinfer name=infer model=builtin:{model} {properties} ! fakesink name=sink'


@contextlib.contextmanager
def without_udmabuf():
    away = UDMABUF.with_name('udmabuf.away')
    UDMABUF.rename(away)
    try:
        yield
    finally:
        away.rename(UDMABUF)


@contextlib.contextmanager
def as_nobody():
    mode = os.stat(CAMERA).st_mode
    os.chmod(CAMERA, 0o666)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.chmod(CAMERA, mode)


@contextlib.contextmanager
def udmabufs_up_to(mebibytes):
    before = UDMABUF_LIMIT.read_text(encoding='ascii')
    UDMABUF_LIMIT.write_text(str(mebibytes), encoding='ascii')
    try:
        yield
    finally:
        UDMABUF_LIMIT.write_text(before, encoding='ascii')


class CameraFault(CameraCase):
    def fault_in_stream(self, identity):
        line = Line(line_of())
        line.play()
        self.assertTrue(line.wait_frames(8), line.said.errors)
        vivid.control(CAMERA, identity)
        return line

    def test_unplugged(self):
        with self.fault_in_stream(vivid.DISCONNECT) as line:
            self.fails(line, 'v4l2src')
            self.assertIn(line.said.errors[0][1].rstrip('.'), GONE)
            self.plays(line)

    def test_driver_gives_up(self):
        with self.fault_in_stream(vivid.FATAL_ERROR) as line:
            self.fails(line, 'v4l2src')
            self.assertIn(line.said.errors[0][1].rstrip('.'), GONE)
            self.plays(line)

    def test_frames_with_errors_do_not_stop_the_line(self):
        for identity in (vivid.BUFFER_FLAG_ERROR, vivid.QBUF_ERROR):
            with self.subTest(hex(identity)), self.fault_in_stream(identity) as line:
                self.assertTrue(line.wait_frames(20), line.said.errors)
                line.stop()
                self.plays(line)

    def test_dropped_frames(self):
        vivid.control(CAMERA, vivid.PERCENTAGE_DROPPED, 50)
        self.addCleanup(vivid.control, CAMERA, vivid.PERCENTAGE_DROPPED, 0)
        with Line(line_of()) as line:
            self.plays(line)

    def test_another_program_cannot_change_the_format(self):
        with Line(line_of()) as line:
            line.play()
            self.assertTrue(line.wait_frames(8), line.said.errors)
            done = subprocess.run(['v4l2-ctl', '-d', CAMERA, '--set-fmt-video=width=640,height=360'], capture_output=True, text=True, check=False)
            self.assertIn('busy', (done.stdout + done.stderr).lower())
            self.assertTrue(line.wait_frames(8), line.said.errors)
            line.stop()
            self.plays(line)

    def test_signal_lost_and_found(self):
        with vivid.hdmi(CAMERA), Line(line_of('video/x-raw,format=NV12')) as line:
            line.play()
            self.assertTrue(line.wait_frames(8), line.said.errors)
            vivid.control(CAMERA, vivid.DV_TIMINGS_SIGNAL_MODE, 1)
            self.assertTrue(line.wait(lambda message: message.type == Gst.MessageType.WARNING))
            self.assertIn(('camera', 'Signal lost'), line.said.warnings)
            vivid.control(CAMERA, vivid.DV_TIMINGS_SIGNAL_MODE, 0)
            self.assertTrue(line.wait_frames(8), line.said.errors)
            line.stop()
            self.plays(line)

    def test_format_changes_with_the_signal(self):
        with vivid.hdmi(CAMERA), Line(line_of('video/x-raw,format=NV12')) as line:
            line.play()
            self.assertTrue(line.wait_frames(8), line.said.errors)
            vivid.control(CAMERA, vivid.DV_TIMINGS, 5)
            vivid.control(CAMERA, vivid.DV_TIMINGS_SIGNAL_MODE, 4)
            self.assertTrue(line.wait(lambda message: len(line.said.placements) == 2), line.said.errors)
            self.assertTrue(line.wait_frames(4), line.said.errors)
            self.assertIn('width=(int)1280, height=(int)720', line.element('sink').get_static_pad('sink').get_current_caps().to_string())
            self.assertEqual([one.get_string('reason') for one in line.said.placements], ['own-pool'] * 2)

    def test_what_is_no_camera(self):
        for node, words in {os.environ['HL_VM_VIVID_VMALLOC_OUT']: 'is not a capture device', os.environ['HL_VM_VIM2M']: 'is not a capture device',
                            '/dev/null': "It isn't a v4l2 driver", '/dev/video77': 'Cannot identify device'}.items():
            with self.subTest(node), Line(line_of(source=f'device={node} io-mode=dmabuf-import')) as line:
                self.assertEqual(line.play(), Gst.StateChangeReturn.FAILURE)
                self.fails(line, 'v4l2src', words)

    def test_no_udmabuf(self):
        with Line(line_of()) as line:
            with without_udmabuf():
                line.play()
                self.fails(line, 'hlinfer', 'HL-MEM-004', 'the kernel has a device for /dev/udmabuf, but there is no such file', '--device=/dev/udmabuf', 'ENOENT')
            self.plays(line)
        with without_udmabuf(), Line(line_of(source=f'device={CAMERA} io-mode=mmap num-buffers=3')) as line:  # the line that the error names
            line.play()
            self.assertTrue(line.end() and line.said.eos, line.said.errors)

    def test_no_permission_on_udmabuf(self):
        with Line(line_of()) as line:
            with as_nobody():
                line.play()
                self.assertTrue(line.end())
            self.failed(line, 'hlinfer', 'HL-MEM-004', 'may not open /dev/udmabuf (group root, mode 600)', 'KERNEL=="udmabuf", GROUP="video", MODE="0660"', 'EACCES')
            self.plays(line)

    def test_frame_larger_than_a_udmabuf_may_be(self):
        with Line(line_of('video/x-raw,format=NV12,width=1280,height=720')) as line:
            with udmabufs_up_to(1):
                line.play()
                self.fails(line, 'hlinfer', 'HL-MEM-004', 'size_limit_mb')
            self.plays(line)

    def test_no_descriptor_left_in_mid_stream(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        with Line(line_of()) as line:
            line.play()
            self.assertTrue(line.wait_frames(4), line.said.errors)
            line.each_frame(held.append)  # the pool has to grow
            resource.setrlimit(resource.RLIMIT_NOFILE, (holdings.descriptors().total(), limits[1]))
            self.assertTrue(line.end())
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            self.assertGreater(len(held), 0)
            self.assertGreater(holdings.dma_bufs(), self.before[0], 'held frames are not seen')
            held.clear()
            self.failed(line, 'hlinfer', 'HL-MEM-007', 'ulimit -n')
        with Line(line_of()) as line:
            self.plays(line)

    def test_frames_held_behind_us_do_not_starve_the_camera(self):
        held = []
        with Line(line_of()) as line:
            line.each_frame(lambda frame: held.append(frame) if len(held) < 12 else None)
            line.play()
            self.assertTrue(line.wait_frames(40), line.said.errors)
            self.assertEqual(len(held), 12)
            self.assertGreaterEqual(holdings.dma_bufs(), self.before[0] + 12 + 2, 'each of them is a dma-buf of its own')
            held.clear()
            line.stop()

    def test_sizes_that_are_not_whole_pages(self):
        for form, width, height, size in (('NV12', 62, 30, 64 * 30 * 3 // 2), ('RGB', 60, 30, 60 * 30 * 3)):
            found = set()
            with self.subTest(form), vivid.hdmi(CAMERA), Line(line_of(f'video/x-raw,format={form},width={width},height={height}')) as line:
                line.each_frame(lambda frame: found.add((frame.n_memory(), frame.get_size(), frame.peek_memory(0).offset, frame.peek_memory(0).maxsize)))
                self.plays(line)
                self.assertEqual(len(found), 1, found)
                memories, bytes_, offset, capacity = found.pop()
                self.assertEqual((memories, bytes_, offset), (1, size, 0))
                self.assertGreaterEqual(capacity, size + 4096, "a page of slack, for the driver's sizeimage")

    def test_tee_swallows_the_pool(self):
        with Line(line_of(before='tee name=split !')) as line:
            line.play()
            self.fails(line, 'v4l2src', 'No downstream pool to import from')
            self.assertEqual([one.get_string('reason') for one in line.said.placements], ['pool-swallowed'])
            told = ' '.join(text for name, text in line.said.warnings if name == 'infer')
            self.assertIn('split forwards the question for a pool', told)
            self.assertIn('"v4l2src io-mode=dmabuf-import ! hlinfer ! tee', told)


class CameraRefusal(CameraCase):
    """Comes last, by its name: v4l2src 1.26 loses its pool, with the two frames that it had taken for its queue and what they hold (gst_v4l2_buffer_pool_start gives nothing back). The other frames of
    our pool are not lost."""

    def refused(self, identity, lost):
        with Line(line_of()) as line:
            vivid.control(CAMERA, identity)
            line.play()
            self.assertTrue(line.end())
            self.failed(line, 'v4l2src', 'Failed to allocate required memory', left=lost)
            self.plays(line)

    def test_driver_refuses_to_start(self):
        for identity, lost in ((vivid.REQBUFS_ERROR, 0), (vivid.QBUF_ERROR, 2), (vivid.STREAMON_ERROR, 2)):
            with self.subTest(hex(identity)):
                self.refused(identity, lost)
                gc.collect()
                self.before[1] = holdings.descriptors()  # with those of the lost pool


if __name__ == '__main__':
    unittest.main(verbosity=2)
