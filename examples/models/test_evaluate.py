#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the metric, with cases worked out by hand. Standard library only."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import evaluate  # noqa: E402


def box(label, x, y, w, h, **more):
    return {"label": label, "x": x, "y": y, "w": w, "h": h, **more}


class Overlap(unittest.TestCase):
    def test_same_box(self):
        self.assertEqual(evaluate.iou(box("a", 3, 4, 10, 20), box("a", 3, 4, 10, 20)), 1.0)

    def test_half_shifted(self):
        # 10x10 shifted by 5: 50 shared of 150.
        self.assertAlmostEqual(evaluate.iou(box("a", 0, 0, 10, 10), box("a", 5, 0, 10, 10)), 1 / 3)

    def test_touching_and_apart(self):
        self.assertEqual(evaluate.iou(box("a", 0, 0, 10, 10), box("a", 10, 0, 10, 10)), 0.0)
        self.assertEqual(evaluate.iou(box("a", 0, 0, 10, 10), box("a", 30, 30, 10, 10)), 0.0)

    def test_empty_boxes(self):
        self.assertEqual(evaluate.iou(box("a", 0, 0, 0, 0), box("a", 0, 0, 0, 0)), 0.0)


class OneFrame(unittest.TestCase):
    def check(self, detections, truth, hits, false, missed, **options):
        result = evaluate.evaluate([detections], [truth], **options)
        self.assertEqual((result["true_positives"], result["false_positives"], result["misses"]), (hits, false, missed))
        return result


class Matching(OneFrame):
    def test_hit(self):
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 1, 0, 10, 10)], 1, 0, 0)

    def test_threshold_is_inclusive(self):
        # 10x10 in 10x20: exactly 0.5.
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 0, 0, 10, 20)], 1, 0, 0)
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 0, 0, 10, 21)], 0, 1, 1)

    def test_wrong_class_is_both_false_and_missed(self):
        result = self.check([box("b", 0, 0, 10, 10, score=0.9)], [box("a", 0, 0, 10, 10)], 0, 1, 1)
        self.assertEqual(result["labels"]["b"]["false_positives"], 1)
        self.assertEqual(result["labels"]["a"]["misses"], 1)

    def test_object_is_hit_once(self):
        twice = [box("a", 0, 0, 10, 10, score=0.9), box("a", 0, 0, 10, 10, score=0.8)]
        self.check(twice, [box("a", 0, 0, 10, 10)], 1, 1, 0)

    def test_better_score_chooses_first(self):
        # The weak one fits better, but the strong one comes first and takes the only object.
        self.check([box("a", 0, 0, 10, 10, score=0.6), box("a", 2, 0, 10, 10, score=0.9)],
                   [box("a", 0, 0, 10, 10)], 1, 1, 0)
        # Each takes what it overlaps most.
        self.check([box("a", 0, 0, 10, 10, score=0.6), box("a", 2, 0, 10, 10, score=0.9)],
                   [box("a", 0, 0, 10, 10), box("a", 3, 0, 10, 10)], 2, 0, 0)

    def test_score_threshold(self):
        weak = [box("a", 0, 0, 10, 10, score=0.49)]
        self.check(weak, [box("a", 0, 0, 10, 10)], 0, 0, 1)
        self.check(weak, [box("a", 0, 0, 10, 10)], 1, 0, 0, score=0.4)

    def test_score_threshold_is_inclusive(self):
        self.check([box("a", 0, 0, 10, 10, score=0.5)], [box("a", 0, 0, 10, 10)], 1, 0, 0)


class Ignored(OneFrame):
    def test_ignored_object_is_not_missed(self):
        self.check([], [box("a", 0, 0, 10, 10, ignore=True)], 0, 0, 0)

    def test_detection_on_ignored_object_does_not_count(self):
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 0, 0, 10, 10, ignore=True)], 0, 0, 0)
        self.check([box("b", 0, 0, 10, 10, score=0.9)], [box("a", 0, 0, 10, 10, ignore=True)], 0, 0, 0)

    def test_detection_half_inside_ignored_object_does_not_count(self):
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 5, 0, 100, 100, ignore=True)], 0, 0, 0)
        self.check([box("a", 0, 0, 10, 10, score=0.9)], [box("a", 6, 0, 100, 100, ignore=True)], 0, 1, 0)

    def test_full_object_wins_over_ignored_one(self):
        self.check([box("a", 0, 0, 10, 10, score=0.9)],
                   [box("a", 0, 0, 10, 10, ignore=True), box("a", 1, 0, 10, 10)], 1, 0, 0)


class Totals(unittest.TestCase):
    def test_frames_do_not_mix(self):
        found = [[box("a", 0, 0, 10, 10, score=0.9)], []]
        truth = [[], [box("a", 0, 0, 10, 10)]]
        result = evaluate.evaluate(found, truth)
        self.assertEqual((result["true_positives"], result["false_positives"], result["misses"]), (0, 1, 1))

    def test_ratios(self):
        found = [[box("a", 0, 0, 10, 10, score=0.9), box("a", 50, 0, 10, 10, score=0.9)],
                 [box("b", 0, 0, 10, 10, score=0.9), box("b", 20, 0, 10, 10, score=0.9)]]
        truth = [[box("a", 0, 0, 10, 10), box("a", 90, 0, 10, 10), box("a", 0, 90, 10, 10)],
                 [box("b", 0, 0, 10, 10), box("b", 20, 0, 10, 10)]]
        result = evaluate.evaluate(found, truth)
        self.assertEqual(result["frames"], 2)
        self.assertAlmostEqual(result["precision"], 3 / 4)
        self.assertAlmostEqual(result["recall"], 3 / 5)
        self.assertAlmostEqual(result["labels"]["a"]["precision"], 1 / 2)
        self.assertAlmostEqual(result["labels"]["a"]["recall"], 1 / 3)
        self.assertEqual(result["labels"]["b"]["recall"], 1.0)

    def test_silence_is_not_precision(self):
        result = evaluate.evaluate([[]], [[box("a", 0, 0, 10, 10)]])
        self.assertEqual((result["precision"], result["recall"]), (0.0, 0.0))
        result = evaluate.evaluate([[]], [[]])
        self.assertEqual((result["precision"], result["recall"]), (1.0, 1.0))

    def test_lengths_must_agree(self):
        with self.assertRaises(ValueError):
            evaluate.evaluate([[]], [[], []])


class Program(unittest.TestCase):
    def run_main(self, detections, truth, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, content in (("d.json", detections), ("t.json", truth)):
                paths.append(os.path.join(folder, name))
                with open(paths[-1], "w", encoding="utf-8") as file:
                    json.dump(content, file)
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = evaluate.main([*paths, *options])
        return status, out.getvalue(), err.getvalue()

    def test_json(self):
        status, out, _ = self.run_main({"frames": [[box("a", 0, 0, 4, 4, score=1.0)]]},
                                       {"frames": [[box("a", 0, 0, 4, 4)]]}, "--json")
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(out)["precision"], 1.0)

    def test_mismatch_is_an_error(self):
        status, _, err = self.run_main({"frames": [[]]}, {"frames": []})
        self.assertEqual(status, 1)
        self.assertIn("1 frames of detections for 0", err)


if __name__ == "__main__":
    unittest.main()
