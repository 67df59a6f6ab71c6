#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the scene generator: the ground truth must be true."""

import hashlib
import os
import subprocess
import sys
import tempfile
import json
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import numpy as np  # noqa: E402
import scenes  # noqa: E402


class Determinism(unittest.TestCase):
    def digest(self, seed, **more):
        h = hashlib.sha256()
        for frame, truth in scenes.clip(seed, 5, 160, 120, 2, **more):
            h.update(frame.tobytes())
            h.update(json.dumps(truth).encode())
        return h.hexdigest()

    def test_same_seed_same_clip(self):
        self.assertEqual(self.digest(7), self.digest(7))

    def test_other_seed_or_domain_other_clip(self):
        self.assertNotEqual(self.digest(7), self.digest(8))
        self.assertNotEqual(self.digest(7), self.digest(7, domain="train"))

    def test_frame_does_not_depend_on_order(self):
        a, b = scenes.Scene(3, 160, 120, 30), scenes.Scene(3, 160, 120, 30)
        b.frame(9)
        self.assertTrue(np.array_equal(a.frame(4)[0], b.frame(4)[0]))


class Truth(unittest.TestCase):
    def test_boxes_lie_in_the_frame_and_tracks_persist(self):
        tracks = {}
        for seed in range(20):
            for frame, truth in scenes.clip(seed, 8, 320, 240, 2):
                self.assertEqual((frame.shape, frame.dtype), ((240, 320, 3), np.uint8))
                for box in truth:
                    self.assertIn(box["label"], scenes.LABELS)
                    self.assertGreaterEqual(min(box["x"], box["y"]), 0)
                    self.assertLessEqual(box["x"] + box["w"], 320)
                    self.assertLessEqual(box["y"] + box["h"], 240)
                    self.assertGreater(min(box["w"], box["h"]), 0)
                    self.assertEqual(tracks.setdefault((seed, box["track"]), box["label"]), box["label"])
                    if box["visible"] < scenes.MIN_VISIBLE:
                        self.assertTrue(box["ignore"])

    def test_box_is_tight_on_the_pixels_drawn(self):
        """Draws each scene's objects on black and looks where there is light."""
        for seed in range(30):
            scene = scenes.Scene(seed, 320, 240, 30)
            scene._sprites = [s for s in scene._sprites if s.label][:1]
            scene._sprites[0].fill = scene._sprites[0].edge = np.array([255.0] * 3)
            scene._sprites[0].slope = 0.0
            canvas = np.zeros((240, 320, 3), dtype=np.uint8)
            (box,) = scene._paste(canvas, 0.5)
            # Half a pixel's coverage gives at most 128; nine sixteenths, the least that counts, over 140.
            rows, columns = np.nonzero(canvas[..., 0] > 135)
            self.assertEqual((box["x"], box["y"]), (columns.min(), rows.min()))
            self.assertEqual((box["w"], box["h"]), (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1))

    def test_what_is_behind_is_less_visible(self):
        scene = scenes.Scene(1, 320, 240, 30)
        below = next(s for s in scene._sprites if s.label)
        scene._sprites = [below]
        (alone,) = scene._paste(np.zeros((240, 320, 3), dtype=np.uint8), 0.0)
        # The same thing again on top hides all of the first.
        scene._sprites = [below, below]
        boxes = scene._paste(np.zeros((240, 320, 3), dtype=np.uint8), 0.0)
        self.assertEqual([{k: v for k, v in b.items()} for b in boxes], [alone])


class Program(unittest.TestCase):
    def test_raw_output_matches_the_library(self):
        with tempfile.TemporaryDirectory() as folder:
            truth_path = os.path.join(folder, "truth.json")
            raw = subprocess.run([sys.executable, os.path.join(HERE, "scenes.py"), "--seed", "5", "--frames", "4",
                                  "--size", "128x96", "--fps", "1", "--out-rgb", "-", "--out-truth", truth_path],
                                 stdout=subprocess.PIPE, check=True).stdout
            with open(truth_path, encoding="utf-8") as file:
                truth = json.load(file)
        want = list(scenes.clip(5, 4, 128, 96, 1))
        self.assertEqual(raw, b"".join(frame.tobytes() for frame, _ in want))
        self.assertEqual(truth["frames"], [boxes for _, boxes in want])
        self.assertEqual(truth["labels"], list(scenes.LABELS))


if __name__ == "__main__":
    unittest.main()
