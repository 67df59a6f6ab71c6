#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Precision and recall of detections against ground truth.

    evaluate.py DETECTIONS.json TRUTH.json [--score 0.5] [--iou 0.5] [--json]

Both files are {"frames": [[box, ...], ...]}, one list per frame in order; a box
is {label, x, y, w, h} in pixels, with "score" in detections and, optionally,
"ignore" in the truth. Standard library only.

Matching is greedy per frame and class, best score first: a detection takes the
free object of its class that it overlaps most, if IoU >= the threshold. An
object marked "ignore" (hardly visible) is neither hit nor missed, and a
detection without an object is no false positive if it lies on such a one: the
IoU reaches the threshold or at least half of the detection is inside it,
whatever its class, because what is left to see may not tell the class.
"""

import argparse
import json
import sys


def intersection(a, b):
    w = min(a["x"] + a["w"], b["x"] + b["w"]) - max(a["x"], b["x"])
    h = min(a["y"] + a["h"], b["y"] + b["h"]) - max(a["y"], b["y"])
    return max(0.0, w) * max(0.0, h)


def iou(a, b):
    inner = intersection(a, b)
    union = a["w"] * a["h"] + b["w"] * b["h"] - inner
    return inner / union if union > 0 else 0.0


def _excused(box, ignored, threshold):
    area = box["w"] * box["h"]
    return any(iou(box, other) >= threshold or (area > 0 and intersection(box, other) >= 0.5 * area)
               for other in ignored)


def match_frame(detections, truth, threshold=0.5):
    """({label: [true positives, false positives, misses]}, one for each label that occurs)."""
    counts = {}
    free = [box for box in truth if not box.get("ignore")]
    ignored = [box for box in truth if box.get("ignore")]
    for found in sorted(detections, key=lambda box: -box.get("score", 1.0)):
        rivals = [(iou(found, box), i) for i, box in enumerate(free) if box["label"] == found["label"]]
        overlap, i = max(rivals, default=(0.0, -1))
        if i >= 0 and overlap >= threshold:
            free.pop(i)
            counts.setdefault(found["label"], [0, 0, 0])[0] += 1
        elif not _excused(found, ignored, threshold):
            counts.setdefault(found["label"], [0, 0, 0])[1] += 1
    for box in free:
        counts.setdefault(box["label"], [0, 0, 0])[2] += 1
    return counts


def _ratios(hits, false, missed):
    """Precision and recall. Finding nothing where something is has precision 0, not "undefined"."""
    precision = hits / (hits + false) if hits + false else float(missed == 0)
    recall = hits / (hits + missed) if hits + missed else 1.0
    return {"precision": precision, "recall": recall, "true_positives": hits, "false_positives": false, "misses": missed}


def evaluate(detections, truth, score=0.5, threshold=0.5):
    """{frames, precision, recall, true_positives, false_positives, misses, labels: {label: the same}}.

    Both arguments are lists with a list of boxes per frame; ValueError if they
    differ in length, because then no frame can be trusted to meet its own truth.
    """
    if len(detections) != len(truth):
        raise ValueError(f"{len(detections)} frames of detections for {len(truth)} frames of ground truth")
    labels, total = {}, [0, 0, 0]
    for found, boxes in zip(detections, truth):
        found = [box for box in found if box.get("score", 1.0) >= score]
        for label, counts in match_frame(found, boxes, threshold).items():
            mine = labels.setdefault(label, [0, 0, 0])
            for k in range(3):
                mine[k] += counts[k]
                total[k] += counts[k]
    return {"frames": len(truth), **_ratios(*total),
            "labels": {label: _ratios(*counts) for label, counts in sorted(labels.items())}}


def load(path):
    """The list of frames in a file of detections or ground truth."""
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    return content["frames"] if isinstance(content, dict) else content


def main(argv=None):
    parser = argparse.ArgumentParser(description="Precision and recall of detections against ground truth.")
    parser.add_argument("detections")
    parser.add_argument("truth")
    parser.add_argument("--score", type=float, default=0.5)
    parser.add_argument("--iou", type=float, default=0.5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    try:
        result = evaluate(load(args.detections), load(args.truth), args.score, args.iou)
    except (OSError, ValueError, KeyError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{result['frames']} frames, score >= {args.score}, IoU >= {args.iou}")
    print(f"{'':10} {'precision':>9} {'recall':>7} {'hits':>6} {'false':>6} {'missed':>6}")
    for label, row in [*result["labels"].items(), ("all", result)]:
        print(f"{label:10} {row['precision']:9.4f} {row['recall']:7.4f} "
              f"{row['true_positives']:6} {row['false_positives']:6} {row['misses']:6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
