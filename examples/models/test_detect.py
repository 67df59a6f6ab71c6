#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the numpy reference: letterbox, decoding, NMS."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np  # noqa: E402
import detect  # noqa: E402

LABELS = ("a", "b")


def tensor(*boxes):
    """1 x 6 x N from (cx, cy, w, h, class, score)."""
    rows = np.zeros((1, 6, len(boxes)), np.float32)
    for i, (cx, cy, w, h, label, score) in enumerate(boxes):
        rows[0, :4, i] = cx, cy, w, h
        rows[0, 4 + label, i] = score
    return rows


class Letterbox(unittest.TestCase):
    def test_geometry(self):
        self.assertEqual(detect.letterbox_geometry(640, 480), (0.5, 320, 240, 0, 40))
        self.assertEqual(detect.letterbox_geometry(1280, 720), (0.25, 320, 180, 0, 70))
        self.assertEqual(detect.letterbox_geometry(480, 640), (0.5, 240, 320, 40, 0))

    def test_borders_are_grey_and_the_picture_is_between(self):
        square = detect.letterbox(np.full((480, 640, 3), 200, np.uint8))
        self.assertTrue((square[:40] == 114).all() and (square[280:] == 114).all())
        self.assertTrue((square[40:280] == 200).all())

    def test_bilinear_halves_by_the_mean_of_four(self):
        image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
        want = image.reshape(2, 2, 3, 2, 3).astype(float).mean(axis=(1, 3))
        np.testing.assert_array_equal(detect.bilinear(image, 3, 2), (want + 0.5).astype(np.uint8))

    def test_bilinear_same_size_changes_nothing(self):
        image = np.random.default_rng(1).integers(0, 256, (7, 5, 3)).astype(np.uint8)
        np.testing.assert_array_equal(detect.bilinear(image, 5, 7), image)


class Decode(unittest.TestCase):
    def test_back_to_frame_pixels(self):
        # In a 640x480 frame (half size, 40 rows of grey above): 100..140 x 100..120 of the square.
        (box,) = detect.decode(tensor((120, 110, 40, 20, 1, 0.75)), 640, 480, LABELS)
        self.assertEqual((box["label"], box["score"]), ("b", 0.75))
        self.assertEqual((box["x"], box["y"], box["w"], box["h"]), (200, 120, 80, 40))

    def test_clipped_to_the_frame(self):
        (box,) = detect.decode(tensor((0, 40, 40, 40, 0, 0.9)), 640, 480, LABELS)
        self.assertEqual((box["x"], box["y"], box["w"], box["h"]), (0, 0, 40, 40))

    def test_score_threshold_and_order(self):
        found = detect.decode(tensor((50, 100, 20, 20, 0, 0.5), (150, 100, 20, 20, 0, 0.9), (250, 100, 20, 20, 0, 0.49)),
                              320, 320, LABELS)
        self.assertEqual([round(box["score"], 2) for box in found], [0.9, 0.5])

    def test_nms_is_by_class(self):
        same = ((100, 100, 20, 20, 0, 0.9), (101, 100, 20, 20, 0, 0.8))
        self.assertEqual(len(detect.decode(tensor(*same), 320, 320, LABELS)), 1)
        other = ((100, 100, 20, 20, 0, 0.9), (101, 100, 20, 20, 1, 0.8))
        self.assertEqual(len(detect.decode(tensor(*other), 320, 320, LABELS)), 2)

    def test_nms_suppressed_box_suppresses_nothing(self):
        # The second falls to the first; the third overlaps only the second enough.
        chain = ((100, 100, 30, 30, 0, 0.9), (109, 100, 30, 30, 0, 0.8), (118, 100, 30, 30, 0, 0.7))
        self.assertEqual([round(box["score"], 1) for box in detect.decode(tensor(*chain), 320, 320, LABELS)], [0.9, 0.7])

    def test_nothing_found(self):
        self.assertEqual(detect.decode(tensor((100, 100, 20, 20, 0, 0.1)), 320, 320, LABELS), [])


if __name__ == "__main__":
    unittest.main()
