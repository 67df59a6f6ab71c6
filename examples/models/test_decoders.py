#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the decoders' numpy reference, on tensors whose content is plain to see."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np  # noqa: E402
import decoders  # noqa: E402
import detect  # noqa: E402
from decoders import Frame, Options  # noqa: E402

SQUARE = Frame((320, 320), (320, 320))
WIDE = Frame.letterboxed(640, 480, 320)      # half size, 40 rows above


def corners(found):
    return [tuple(box[key] for key in ("x0", "y0", "x1", "y1")) for box in found]


class Boxes(unittest.TestCase):
    def test_yolov8_agrees_with_the_demo_models_decoder(self):
        rng = np.random.default_rng(1)
        tensor = np.concatenate([rng.uniform(0, 320, (1, 4, 200)), rng.uniform(0, 1, (1, 2, 200)) ** 3], 1).astype(np.float32)
        found, _ = decoders.yolov8(tensor, WIDE, Options(max_detections=1000))
        other = detect.decode(tensor, 640, 480, (0, 1))
        other = [box for box in other if box["w"] > 0 and box["h"] > 0]
        self.assertEqual([box["class"] for box in found], [box["label"] for box in other])
        np.testing.assert_allclose(corners(found), [(b["x"], b["y"], b["x"] + b["w"], b["y"] + b["h"]) for b in other], atol=1e-3)

    def test_yolov5_multiplies_by_objectness(self):
        tensor = np.array([[[120, 110, 40, 20, 0.8, 0.9, 0], [120, 110, 40, 20, 0.4, 1, 0]]], np.float32)
        (box,), dropped = decoders.yolov5(tensor, WIDE, Options())
        self.assertEqual((box["class"], dropped), (0, 0))
        self.assertAlmostEqual(box["score"], 0.72, places=6)
        self.assertEqual(corners([box]), [(200, 120, 280, 160)])

    def test_ssd_counts_and_scales(self):
        boxes = np.array([[[0.25, 0.5, 0.5, 0.75], [0, 0, 1, 1]]], np.float32)
        scores, classes = np.array([[0.8, 0.9]], np.float32), np.array([[1, 2]], np.float32)
        found, _ = decoders.ssd(boxes, scores, classes, np.array([1], np.float32), WIDE, Options())
        self.assertEqual((corners(found), found[0]["class"]), ([(320, 80, 480, 240)], 1))
        found, dropped = decoders.ssd(boxes, scores, classes, np.array([np.nan], np.float32), WIDE, Options())
        self.assertEqual((found, dropped), ([], 1))

    def test_class_aware_or_not_wanted_or_not(self):
        tensor = np.array([[[100, 101], [100, 100], [40, 40], [40, 40], [0.9, 0], [0, 0.8]]], np.float32)
        for options, classes in ((Options(), [0, 1]), (Options(class_aware=False), [0]),
                                 (Options(class_aware=False, wanted=(1,)), [1]), (Options(max_candidates=1), [0])):
            found, _ = decoders.yolov8(tensor, SQUARE, options)
            self.assertEqual([box["class"] for box in found], classes)

    def test_what_is_not_finite_is_counted(self):
        tensor = np.array([[[np.nan, 50, 50], [50, 50, 50], [9, 9, 9], [9, 9, 9], [0.9, np.inf, 0.9]]], np.float32)
        found, dropped = decoders.yolov8(tensor, SQUARE, Options())
        self.assertEqual((len(found), dropped), (1, 2))


class Classes(unittest.TestCase):
    def test_softmax_and_top_k(self):
        found, dropped = decoders.classifier(np.array([[1, 3, 2, np.nan]], np.float32), Options(score=0.1, top_k=2), True)
        powers = np.exp([1.0, 2, 3])
        self.assertEqual([cls["class"] for cls in found], [1, 2])
        self.assertAlmostEqual(found[0]["score"], powers[2] / powers.sum(), places=6)
        self.assertEqual(dropped, 1)

    def test_bytes(self):
        (best,), _ = decoders.classifier(np.array([51, 204], np.uint8), Options(), False)
        self.assertEqual(best["class"], 1)
        self.assertAlmostEqual(best["score"], 0.8, places=6)


class Masks(unittest.TestCase):
    def test_left_half(self):
        detections = np.zeros((1, 6, 2), np.float32)
        detections[0, :, 0] = 160, 160, 160, 80, 0.9, 2
        prototypes = np.ones((1, 1, 8, 8), np.float32)
        prototypes[..., 4:] = -1
        (found,), _ = decoders.yolov8_seg(detections, prototypes, SQUARE, Options())
        sums = decoders.mask_sums(decoders.pixels(found, SQUARE), found["coefficients"], prototypes, SQUARE)
        np.testing.assert_array_equal(sums, [[2, 2, -2, -2]] * 2)
        prototypes[0, 0, 4, 4] = np.inf
        self.assertEqual(decoders.yolov8_seg(detections, prototypes, SQUARE, Options()), ([], 1))


if __name__ == "__main__":
    unittest.main()
