#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cameras whose drivers take some memory only: they get it, or the reason and the line that works. Witnesses: the kernel's pool of huge pages, and what the driver itself does with the line."""

import array
import contextlib
import gc
import os
import pathlib
import subprocess
import unittest

import gi
import vivid
from cameracase import CameraCase
from line import Line

gi.require_version('GstAnalytics', '1.0')
from gi.repository import GstAnalytics  # noqa: E402

CONTIG = os.environ['HL_VM_VIVID_CONTIG']
VMALLOC = os.environ['HL_VM_VIVID_VMALLOC']
HUGE = pathlib.Path('/sys/kernel/mm/hugepages/hugepages-2048kB')
SMALL = 'video/x-raw,format=NV12,width=640,height=360'
LARGE = 'video/x-raw,format=NV12,width=1920,height=1080'    # 3.1 MB, more than a huge page
HLINFER = 'hlinfer name=infer model=builtin:null'


def line_of(camera=CONTIG, caps=SMALL, element=HLINFER, mode='dmabuf-import'):
    return f'v4l2src name=camera device={camera} io-mode={mode} num-buffers=5 ! {caps} ! {element} ! fakesink name=sink'


def free_huge_pages():
    return int((HUGE / 'free_hugepages').read_text(encoding='ascii'))


def tensor_of(frame, index):
    """What a model made of 32-bit floats."""
    data = GstAnalytics.buffer_get_tensor_meta(frame).get(index).data
    return array.array('f', data.extract_dup(0, data.get_size()))


@contextlib.contextmanager
def without_huge_pages():
    pool = HUGE / 'nr_hugepages'
    before = pool.read_text(encoding='ascii')
    pool.write_text('0', encoding='ascii')
    try:
        yield
    finally:
        pool.write_text(before, encoding='ascii')


class CameraImport(CameraCase):
    def refused(self, line, *words):
        with Line(line) as refused:
            refused.play()
            self.fails(refused, refused.element('infer').get_factory().get_name(), *words)

    def test_the_device_reads_the_frame_that_the_driver_wrote(self):
        model = pathlib.Path(os.environ['HL_BUILD_DIR'], 'examples', 'models', 'test-models', 'planes-nv12.onnx')
        width, height = 320, 240
        for properties in ('', 'planes=multi'):
            camera = VMALLOC if not properties else os.environ['HL_VM_VIVID_VMALLOC_MPLANE']
            found = []

            def seen(frame, found=found):
                pixels = frame.extract_dup(0, width * height)
                tensors = [tensor_of(frame, index) for index in range(2)]
                rows = max(tensors, key=len)
                found.append((rows, [sum(pixels[y * width:(y + 1) * width]) / width for y in range(height)]))

            line = line_of(camera, f'video/x-raw,format=NV12,width={width},height={height}', f'hlinfer name=infer zero-copy=require model={model} {properties}')
            with self.subTest(properties), vivid.hdmi(camera), Line(line) as line:
                line.each_frame(seen)
                self.plays(line)
                self.assertEqual(len(found), 10)
                self.assertGreater(len(set(found[0][1])), 20, 'the picture has rows that differ')
                for rows, mean in found:
                    for inferred, wanted in zip(rows, mean, strict=True):
                        self.assertAlmostEqual(inferred, wanted, places=2)

    def plays_in_huge_pages(self, description):
        free = []
        before = free_huge_pages()
        with Line(description) as line:
            line.each_frame(lambda _: free.append(free_huge_pages()))
            self.plays(line)
            self.assertEqual(len(free), 10)
            # v4l2src has at least three frames: two that are queued and the one that came.
            self.assertLessEqual(max(free), before - 3, 'the frames do not lie in huge pages')
        gc.collect()
        self.assertEqual(free_huge_pages(), before)

    def test_a_driver_that_needs_one_stretch_gets_huge_pages(self):
        for element in (HLINFER, 'hlupload name=infer'):
            with self.subTest(element):
                self.plays_in_huge_pages(line_of(element=element))

    def test_the_format_of_the_line_before_does_not_matter(self):
        with vivid.hdmi(CONTIG):
            subprocess.run(['v4l2-ctl', '-d', CONTIG, '--set-fmt-video=width=32,height=16,pixelformat=NV12'], check=True, capture_output=True)   # less than a page
            self.plays_in_huge_pages(line_of())

    def test_other_drivers_get_none(self):
        before = free_huge_pages()
        free = []
        with Line(line_of(VMALLOC)) as line:
            line.each_frame(lambda _: free.append(free_huge_pages()))
            self.plays(line)
        self.assertEqual(set(free), {before})

    def test_no_huge_pages(self):
        with without_huge_pages():
            self.assertEqual(free_huge_pages(), 0)
            self.refused(line_of(), 'HL-IMP-009', 'contiguous', '0 of 0 pages are free', 'nr_hugepages', f'v4l2src device={CONTIG} io-mode=mmap')
        with Line(line_of()) as line:
            self.plays(line)

    def test_a_frame_larger_than_a_huge_page(self):
        for element in (HLINFER, 'hlupload name=infer'):
            with self.subTest(element):
                self.refused(line_of(caps=LARGE, element=element), 'HL-IMP-009', 'contiguous', 'do not fit a huge page', 'smaller size', f'v4l2src device={CONTIG} io-mode=mmap ! hlupload')
        with Line(line_of(caps=LARGE, mode='mmap', element=f'hlupload ! {HLINFER}')) as line:    # the line that the error names
            line.play()
            self.assertTrue(line.end() and line.said.eos, line.said.errors)

    def test_device_memory_of_the_simulator(self):
        caps = 'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=640,height=360'
        self.refused(line_of(VMALLOC, caps, HLINFER + ' memory=device'), 'HL-IMP-011', "simulator's device memory is no dma-buf", 'memory=host')

    def test_a_camera_that_somebody_else_uses_is_not_judged(self):
        with Line(line_of()) as first, Line(line_of()) as second:
            first.element('camera').set_property('num-buffers', -1)
            first.play()
            self.assertTrue(first.wait_frames(2), f'{first.said.errors}, end: {first.said.eos}')
            second.play()
            self.assertTrue(second.end())
            second.stop()
            self.assertEqual([factory for factory, _, _ in second.said.errors if factory != 'v4l2src'], [])
            self.assertTrue(first.wait_frames(2), f'{first.said.errors}, end: {first.said.eos}')

    def answers(self, line):
        """What import-probe has found, as (node, driver, kind, host, device)."""
        return [tuple(one.get_string(field) for field in ('node', 'driver', 'kind', 'host', 'device')) for one in line.said.imports]

    def test_probe(self):
        for element in (HLINFER, 'hlupload name=infer'):
            with self.subTest(element), Line(line_of(VMALLOC, element=f'{element} import-probe={VMALLOC}')) as line:
                self.plays(line)
                self.assertEqual(self.answers(line), [(VMALLOC, 'vivid', 'capture', 'imports', 'refused')])
                self.assertIn("the simulator's device memory is no dma-buf", line.said.imports[0].get_string('device-text'))
        for node, answer in ((CONTIG, ('vivid', 'capture', 'imports')), (os.environ['HL_VM_VKMS'], ('vkms', 'display', 'imports'))):
            with self.subTest(node), Line(line_of(VMALLOC, element=f'{HLINFER} import-probe={node}')) as line:
                self.plays(line)
                self.assertEqual([one[1:4] for one in self.answers(line)], [answer])

    def test_probe_of_a_node_in_use_knows_nothing_and_disturbs_nobody(self):
        with Line(line_of()) as first:
            first.element('camera').set_property('num-buffers', -1)
            first.play()
            self.assertTrue(first.wait_frames(2), f'{first.said.errors}, end: {first.said.eos}')
            second = line_of(VMALLOC, element=f'{HLINFER} import-probe={CONTIG}')   # in a process that remembers nothing
            done = subprocess.run(['gst-launch-1.0', *second.split()], capture_output=True, check=False, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            busy = f'unknown ({CONTIG} is in use: whether it imports was not tried)'
            self.assertIn(f'host frames: {busy}; device frames: {busy}', done.stdout)
            self.assertTrue(first.wait_frames(2), f'{first.said.errors}, end: {first.said.eos}')


if __name__ == '__main__':
    unittest.main(verbosity=2)
