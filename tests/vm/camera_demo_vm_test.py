#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/camera-demo with a camera: vivid looks at a film of scenes that the model has not seen."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

DEMO = pathlib.Path(__file__).resolve().parents[2] / 'examples' / 'camera-demo'
WIDTH, HEIGHT, PICTURES, FRAMES, SEED = 640, 480, 12, 20, 7

sys.path.insert(0, str(DEMO.parent / 'models'))
import scenes  # noqa: E402


def overlap(a, b):
    """Intersection over union of two boxes x, y, width, height."""
    width, height = (min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def found(text):
    """[(label, box)] of all objects that the demo told of."""
    return [(label, tuple(map(int, box))) for label, *box in re.findall(r'(\w+) \d\.\d\d at (-?\d+),(-?\d+) (\d+)x(\d+)', text)]


class CameraDemo(unittest.TestCase):
    def setUp(self):
        self.addCleanup(subprocess.run, ['v4l2-ctl', '-d', os.environ['HL_VM_VIVID_VMALLOC'], '--set-input', '0'], check=True, capture_output=True)

    def test_finds_what_is_in_the_film_without_a_copy(self):
        with tempfile.TemporaryDirectory() as directory:
            film = os.path.join(directory, 'film.nv12')
            subprocess.run([DEMO / 'film.py', film, str(WIDTH), str(HEIGHT), str(PICTURES), str(SEED)], check=True)
            done = subprocess.run([DEMO / 'in-vm', film, str(WIDTH), str(HEIGHT), '--frames', str(FRAMES), '--json'], capture_output=True, text=True, timeout=150, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout.splitlines()[-1])
        self.assertGreaterEqual(report['frames'], FRAMES)
        self.assertEqual((report['stand_in'], report['placement']), ('SIM', 'host'))
        self.assertEqual({hop['element']: hop['cpu-copies'] for hop in report['hops'] if hop['cpu-copies']}, {})
        there = [(one['label'], tuple(one[side] for side in 'xywh')) for _, truth in scenes.clip(SEED, PICTURES, WIDTH, HEIGHT, 30) for one in truth if not one['ignore']]
        objects = found(done.stderr)
        right = [label for label, box in objects if any(label == other and overlap(box, place) > 0.5 for other, place in there)]
        self.assertGreaterEqual(len(right), 2, f'{done.stderr}\nin the film: {there}')
        self.assertGreaterEqual(len(right), 0.7 * len(objects), f'{done.stderr}\nin the film: {there}')


if __name__ == '__main__':
    unittest.main(verbosity=2)
