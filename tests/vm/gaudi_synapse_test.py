#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Camera, HBM, recipe, detections, in one stock line: frames go from the capture card into the emulated Gaudi's HBM by PCI peer-to-peer, and a recipe is launched on them where they lie. The runtime is a double
of SynapseAI's (tests/synapse-double, DBL), which computes on the host from what it reads back by itself: what is shown is the path up to the launch, not the computing. Witnesses: the card's memory of each
frame, and the film that it shows, against what the Gaudi's DMA brings up from HBM; the simulator's detections of those bytes; the dma-bufs that the kernel says are attached to the card."""

import os
import pathlib
import signal
import struct
import subprocess
import sys
import unittest

BUILD = pathlib.Path(os.environ['HL_BUILD_DIR'])
DOUBLE = BUILD / 'tests' / 'synapse-double'
os.environ['HL_SYNAPSE_DIR'] = str(DOUBLE)

import cardcase  # noqa: E402
import gi  # noqa: E402
from cardcase import CARD  # noqa: E402
from line import Gst, Line  # noqa: E402

gi.require_version('GstAnalytics', '1.0')
from gi.repository import GLib, GstAnalytics  # noqa: E402

FILM = DOUBLE / 'demo-320x240.nv12'
STAMP = 12                              # bytes: tests/gaudi-emulator/card/captureregs.h
FRAMES = 100
BOUND = 400 * Gst.SECOND                # for a hundred frames, each of which takes a second or two without KVM
CAMERA = f'v4l2src name=camera device={CARD} io-mode=dmabuf-import ! video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=320,height=240'
INFER = f'hlinfer name=infer device=synapse memory=device zero-copy=require timeout=60000000000 model={DOUBLE}/demo-320x240.recipe ! hltensordec'
COUNTERS = ('cpu-copies', 'uploads', 'downloads', 'p2p', 'read-backs')


def detections(buffer):
    """[label, x, y, w, h, score] of each, in order."""
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    found = []
    for index in range(GstAnalytics.relation_get_length(meta) if meta else 0):
        is_box, box = meta.get_od_mtd(index)
        if is_box:
            _, *place, score = box.get_location()
            found.append([GLib.quark_to_string(box.get_obj_type()), *place, round(score, 3)])
    return sorted(found)


def on_simulator(frames):
    """What the same network finds in these frames on SIM."""
    caps = 'video/x-raw,format=NV12,width=320,height=240,framerate=30/1'
    found = []
    with Line(f'appsrc name=source format=time caps={caps} ! hlinfer device=sim model={DOUBLE}/demo-320x240.onnx ! hltensordec ! fakesink name=sink') as line:
        line.each_frame(lambda buffer: found.append(detections(buffer)))
        line.play()
        source = line.element('source')
        for number, frame in enumerate(frames):
            buffer = Gst.Buffer.new_wrapped(frame)
            buffer.pts = number * Gst.SECOND // 30
            source.push_buffer(buffer)
        source.end_of_stream()
        assert line.end(BOUND) and line.said.eos, line.said.errors
    return found


class GaudiSynapse(cardcase.CardCase):
    def counted(self, line, frames):
        stats = line.element('infer').get_property('stats')
        self.assertEqual({name: stats.get_uint64(name)[1] for name in COUNTERS}, dict.fromkeys(COUNTERS, 0) | {'p2p': frames})
        self.assertEqual([stats.get_string(name) for name in ('backend', 'compute', 'preprocess')], ['synapse', 'device', 'in-model'])

    def test_a_hundred_frames_are_inferred_on_where_they_lie(self):
        pictures, found = [], []

        def each(buffer, picture):
            pictures.append(picture)
            found.append(detections(buffer))

        said, attached = self.verified(f'{CAMERA} ! {INFER} ! hldownload ! fakesink name=sink sync=false', FRAMES, lambda line: self.counted(line, FRAMES), each, BOUND, slow=True)
        film = FILM.read_bytes()
        for picture in pictures:        # the card shows the film over and over, with a stamp on each frame
            place = struct.unpack_from('<I', picture, 4)[0] * len(picture) % len(film)
            self.assertEqual(picture[STAMP:], film[place + STAMP:place + len(picture)])
        self.assertTrue(attached)
        self.assertEqual(said.exporters, {'habanalabs'})
        self.assertTrue([text for _, text in said.warnings if 'SynapseAI double: computes on the host' in text], said.warnings)
        self.assertEqual(found, on_simulator(pictures))
        self.assertGreater(sum(map(len, found)), FRAMES, 'the film shows some objects a frame')

    def test_the_line_as_users_type_it(self):
        with Line(f'{CAMERA} ! {INFER} ! fakesink name=sink') as line:
            line.element('camera').set_property('num-buffers', 10)
            line.play()
            self.assertTrue(line.end(BOUND))
            self.assertTrue(line.said.eos, line.said.errors)
            self.counted(line, 10)

    def test_after_a_kill_the_device_is_whole(self):
        with subprocess.Popen([sys.executable, __file__, 'play'], stdout=subprocess.PIPE, text=True) as owner:
            self.assertEqual(owner.stdout.readline(), 'playing\n')
            owner.send_signal(signal.SIGKILL)
        self.verified(f'{CAMERA} ! {INFER} ! hldownload ! fakesink name=sink sync=false', 10, lambda line: self.counted(line, 10), bound=BOUND, slow=True)


def play():
    """Another process that uses the device until it is killed."""
    with Line(f'{CAMERA} ! {INFER} ! fakesink name=sink') as line:
        line.play()
        if not line.wait_frames(5, BOUND):
            sys.exit(str(line.said.errors))
        print('playing', flush=True)
        signal.pause()


if __name__ == '__main__':
    play() if sys.argv[1:] == ['play'] else unittest.main()
