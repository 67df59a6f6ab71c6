#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock v4l2src, and frames that go from the capture card to the emulated Gaudi's HBM by PCI peer-to-peer: the kernel's own drivers on both sides (habanalabs with the repair of its open()), and no host byte
that was not asked for. Witnesses: the card's memory of each frame, against what the Gaudi's DMA brings up from HBM; the scan-out engine, which reads HBM itself; the attachments that the kernel lists."""

import os
import pathlib
import unittest
import zlib

import cardcase
import cardframe
import kernelwitness
from cardcase import CARD
from line import Line


MODELS = pathlib.Path(os.environ['HL_BUILD_DIR'], 'examples', 'models', 'test-models')
DMABUF = 'video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format='
YUYV = f'{DMABUF}YUYV,width=640,height=480'
PROBED = f'memory=auto import-probe={CARD} zero-copy=require'
COUNTERS = ('cpu-copies', 'uploads', 'downloads', 'p2p', 'read-backs')


def camera(caps, model='builtin:null', properties='memory=device zero-copy=require'):
    return f'v4l2src name=camera device={CARD} io-mode=dmabuf-import ! {caps} ! hlinfer name=infer model={model} compute=host {properties}'


def counted(element):
    stats = element.get_property('stats')
    return {name: stats.get_uint64(name)[1] for name in COUNTERS}


class GaudiLine(cardcase.CardCase):
    def in_hbm(self, text, frames, reason='own-pool', placement='device', **expected):
        """A line with hlinfer and, behind it, hldownload, by which the test sees what lies in HBM."""
        found = {}
        said, attached = self.verified(f'{text} ! hldownload name=down ! fakesink name=sink sync=false', frames,
                                       lambda line: found.update(infer=counted(line.element('infer')), down=counted(line.element('down'))))
        self.assertEqual([(one.get_string('placement'), one.get_string('reason')) for one in said.placements][:1], [(placement, reason)], said.infos)
        self.assertEqual(found['infer'], dict.fromkeys(COUNTERS, 0) | expected)
        self.assertEqual(found['down']['cpu-copies'], 0)
        self.assertTrue(attached)
        self.assertEqual(said.exporters, {'habanalabs' if placement == 'device' else 'udmabuf'})
        return said


class GaudiCamera(GaudiLine):
    def test_a_hundred_frames_go_from_the_card_to_hbm(self):
        self.in_hbm(camera(YUYV), 100, p2p=100)

    def test_inference_on_the_host_reads_each_frame_back_once(self):
        self.in_hbm(camera(f'{DMABUF}NV12,width=320,height=240', MODELS / 'planes-nv12.onnx'), 100, **{'p2p': 100, 'read-backs': 100})

    def test_other_formats_and_sizes(self):
        for caps, frames in (('NV12,width=320,height=240', 10), ('XR24,width=320,height=240', 10), ('YUYV,width=62,height=31', 10), ('YUYV,width=1920,height=1080', 5)):
            with self.subTest(caps):
                self.in_hbm(camera(DMABUF + caps), frames, p2p=frames)

    def test_the_engine_sees_the_frames_in_hbm(self):
        engine = kernelwitness.Card('HL_VM_SCANOUT')
        before = len(cardcase.read_by(engine))
        with Line(f'{camera(f"{DMABUF}XR24,width=640,height=480")} ! kmssink name=sink driver-name={engine.driver} force-modesetting=true sync=false') as line:
            line.element('camera').set_property('num-buffers', 20)
            line.play()
            self.assertTrue(line.end())
            self.assertTrue(line.said.eos, line.said.errors)
            self.assertEqual(counted(line.element('infer')), dict.fromkeys(COUNTERS, 0) | {'p2p': 20})
        seen = cardcase.read_by(engine)[before + 1:]        # after kmssink's own, for the mode
        self.assertEqual({(entry[3], entry[5]) for entry in seen}, {('imported', '0')})
        wanted = [entry[4] for entry in seen]
        self.assertEqual(len(set(wanted)), 20)
        # The card has lost those that are missing; what is left comes in the order in which it was made.
        made = (f'{zlib.crc32(cardframe.picture("BGRx", 640, 480, number)):08x}' for number in range(400))
        self.assertEqual([crc for crc in wanted if crc in made], wanted)

    def test_a_probe_finds_out_by_itself(self):
        self.in_hbm(camera(YUYV, properties=PROBED), 10, p2p=10)


if __name__ == '__main__':
    unittest.main()
