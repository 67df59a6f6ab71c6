#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/camera-demo on the capture card and the emulated Gaudi: it finds by itself that frames can lie in the Gaudi's memory."""

import json
import pathlib
import subprocess
import unittest

DEMO = pathlib.Path(__file__).resolve().parents[2] / 'examples' / 'camera-demo'
FRAMES = 6


class GaudiDemo(unittest.TestCase):
    def test_frames_go_peer_to_peer(self):
        done = subprocess.run([DEMO / 'in-gaudi-vm', '--size', '640x480', '--frames', str(FRAMES), '--json'], capture_output=True, text=True, timeout=150, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((report['backend'], report['stand_in'], report['placement']), ('kernel', 'EMU', 'device'), done.stderr)
        hops = {hop['element']: hop for hop in report['hops']}
        frames = hops['infer']['frames']
        self.assertGreaterEqual(frames, FRAMES)
        self.assertEqual([hops['infer'][count] for count in ('p2p', 'read-backs', 'uploads', 'downloads')], [frames, frames, 0, 0])
        self.assertEqual([hop['element'] for hop in hops.values() if hop['cpu-copies']], [])
        self.assertIn('compute on HOST', done.stdout)


if __name__ == '__main__':
    unittest.main(verbosity=2)
