#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""waylandsink shows our host frames from our memory, the right ones, whether its compositor takes dma-bufs or maps what it is given as wl_shm; frames in device memory are refused before it gets
one. Witnesses: the dma-bufs that the compositor has mapped, by inode, in /proc; the picture on its screen, against the same one in waylandsink's own memory."""

import gc
import os
import unittest

import tracedline
from tracedline import TracedLine
from compositor import Compositor, Protocol
import holdings
import paddedframes

WIDTH, HEIGHT = 320, 240
CAPS = f'video/x-raw,format=BGRx,width={WIDTH},height={HEIGHT},framerate=30/1'
COLOURS = (b'\xff\x00\x00', b'\x00\xff\x00', b'\x00\x00\xff', b'\xff\xff\xff', b'\x00\x00\x00')
BAR_ROW = [COLOURS[x * len(COLOURS) // WIDTH] for x in range(WIDTH)]                    # upright bars: any skew shows


def picture(pattern='smpte100', frames=2):
    return f'videotestsrc num-buffers={frames} pattern={pattern} ! {CAPS}'


class Wayland(unittest.TestCase):
    renderer = 'pixman'                 # knows wl_shm alone

    @classmethod
    def setUpClass(cls):
        cls.compositor = cls.enterClassContext(Compositor(cls.renderer, WIDTH, HEIGHT))
        cls.sink = f'waylandsink name=sink display={cls.compositor.display} sync=false'
        with TracedLine(f'{picture()} ! {cls.sink}') as line:       # in waylandsink's own memory, without any element of ours
            if line.error or any(frame.inode for frame in line.frames):
                raise AssertionError(f'no stock picture: {line.error}, {line.frames}')
            cls.stock = cls.compositor.shown()

    def setUp(self):
        self.compositor.said()

    def shows(self, line):
        """All of the line's frames are ours, the compositor reads them where they lie, and has the picture. Returns what is on the screen."""
        self.assertIsNone(line.error)
        self.assertTrue(line.frames and all(frame.ours for frame in line.frames), line.frames)
        shown = self.compositor.shown()
        self.assertTrue(line.inodes <= self.compositor.mapped(), f'{line.inodes} are not all among {self.compositor.mapped()}')
        return shown


class SharedMemory(Wayland):
    def test_frames_that_came_down_from_gaudi(self):
        with TracedLine(f'{picture()} ! hlupload zero-copy=require ! hldownload ! {self.sink}') as line:
            self.assertEqual(self.shows(line), self.stock)
            self.assertEqual(self.compositor.imported(), set())
        self.assertEqual(line.cpu_copies(), {})

    def test_host_frames_that_hlinfer_read(self):
        with TracedLine(f'{picture()} ! hlinfer model=builtin:null zero-copy=require ! {self.sink}') as line:
            self.assertEqual(self.shows(line), self.stock)
        self.assertEqual(line.cpu_copies(), {})

    def test_a_cameras_frames(self):
        text = f'v4l2src device={os.environ["HL_VM_VIVID_VMALLOC"]} io-mode=dmabuf-import num-buffers=4 ! video/x-raw,format=BGRx,width=320,height=180'
        with TracedLine(f'{text} ! hlinfer model=builtin:null zero-copy=require ! {self.sink}') as line:
            shown = self.shows(line)
            self.assertGreater(len({shown[i:i + 3] for i in range(0, len(shown), 3)}), 4)   # bars
        self.assertEqual(line.cpu_copies(), {})

    def test_another_picture_is_another(self):
        with TracedLine(f'{picture("pinwheel")} ! hlupload ! hldownload ! {self.sink}') as line:
            self.assertNotEqual(self.shows(line), self.stock)

    # Until wl_buffer.release comes, the memory belongs to the compositor.
    def test_no_frame_is_filled_anew_while_the_compositor_has_it(self):
        for between in ('hlupload ! hldownload', 'hlinfer model=builtin:null'):
            with self.subTest(between), Protocol() as protocol, TracedLine(f'{picture("ball", frames=-1)} ! {between} ! {self.sink}', frames=3) as line:
                self.compositor.shown()                             # it has one, and keeps it until the next one comes
                self.compositor.pause()
                try:
                    self.assertTrue(line.wait_frames(2))            # one more may be attached
                    at = len(line.frames)
                    self.assertTrue(line.wait_frames(12))
                    held = {list(dict.fromkeys(frame.inode for frame in line.frames))[number] for number in protocol.held()}
                    later = [frame.inode for frame in line.frames[at:]]
                finally:
                    self.compositor.resume()
                self.assertTrue(held & self.compositor.mapped(), held)
                self.assertLess(len(set(later)), len(later), 'no memory came round')
                self.assertEqual(held & set(later), set())
                at = len(line.frames)
                self.assertTrue(line.wait_frames(12))
                self.assertIsNone(line.error)
                self.assertTrue(held & {frame.inode for frame in line.frames[at:]}, 'what was given back is not used again')

    # gst_wl_shm_memory_construct_wl_buffer() looks at no stride: without hldownload's copy these bars would lean.
    def test_padded_rows_are_straightened_and_said_to_be(self):
        for padding, copies in ((64, {'down': 4}), (0, {})):
            with self.subTest(padding=padding):
                def feed(source, padding=padding):
                    for _ in range(4):
                        source.push_buffer(paddedframes.frame('BGRX', 4, [b''.join(pixel[::-1] + b'\0' for pixel in BAR_ROW)] * HEIGHT, padding))
                with TracedLine(f'appsrc name=source format=time caps={CAPS} ! hldownload name=down ! {self.sink}', feed, frames=4) as line:
                    self.assertIsNone(line.error)
                    self.assertEqual(self.compositor.shown(), b''.join(BAR_ROW) * HEIGHT)
                    self.assertTrue(line.inodes & self.compositor.mapped())
                    told = line.told()
                self.assertEqual(line.cpu_copies(), copies)
                self.assertEqual(any('without a look at its strides' in text for text in told), padding > 0, told)

    # It fills frames of its own where it gets none that have a descriptor.
    def test_waylandsinks_copies_are_named(self):
        with TracedLine(f'{picture(frames=3)} ! hldownload ! {self.sink}') as line:
            self.assertIsNone(line.error)
            self.assertEqual(line.inodes, {0})
            self.assertEqual(self.compositor.shown(), self.stock)
            self.assertEqual(self.compositor.mapped(), set())
        self.assertEqual(list(line.cpu_copies()), ['sink'])
        self.assertGreaterEqual(line.cpu_copies()['sink'], 3)

    def test_device_frames_are_refused_before_one_is_offered(self):
        refuse_device_frames(self)


class DmaBufs(Wayland):
    renderer = 'gl'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with TracedLine(f'{picture(frames=1)} ! hlupload ! hldownload ! {cls.sink}'):   # waylandsink waits a second for an import, the first picture takes longer to be compiled
            cls.compositor.shown()

    def test_the_compositor_imports_host_frames(self):
        with TracedLine(f'{picture(frames=1)} ! hlupload zero-copy=require ! hldownload ! {self.sink}') as line:
            self.assertEqual(self.shows(line), self.stock)
            self.assertTrue(line.inodes <= self.compositor.imported())
        self.assertEqual(line.cpu_copies(), {})

    # Refused as a dma-buf, such a frame would become a wl_shm pool that cannot be mapped, which ends the connection without a word to the pipeline.
    def test_device_frames_are_refused_before_one_is_offered(self):
        refuse_device_frames(self)
        self.assertNotIn('error', self.compositor.said().lower())


def refuse_device_frames(case):
    gc.collect()
    before = holdings.dma_bufs(), holdings.descriptors()
    for between in ('', 'queue ! hlinfer model=builtin:null ! hltensordec ! tee ! '):
        with case.subTest(between), TracedLine(f'{picture()} ! hlupload name=up ! {between}{case.sink}') as line:
            for run in range(2):
                if run:                 # the same pipeline, once more
                    line.stop()
                    line.said = tracedline.line.Said()
                    line.play()
                    case.assertTrue(line.end(tracedline.BOUND))
                line.drain()
                said = line.said.errors_of('hlupload')
                case.assertEqual(len(said), 1, line.said.errors)
                case.assertEqual(line.said.errors[0][0], 'hlupload')
                for word in ('HL-IMP-008', 'sink', 'cannot be mapped', '! hldownload ! sink'):
                    case.assertIn(word, said[0])
                case.assertEqual(line.frames, [])
    del line
    gc.collect()
    case.assertEqual((holdings.dma_bufs(), holdings.descriptors()), before)


del Wayland                             # no case of its own


if __name__ == '__main__':
    unittest.main(verbosity=2)
