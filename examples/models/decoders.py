# SPDX-License-Identifier: LGPL-2.1-or-later
"""What hltensordec does, in plain numpy: the reference its tests compare it with.

Each decoder takes tensors as the network gave them, a Frame and Options, and
returns (found, dropped): dictionaries with class, score and, for objects, x0,
y0, x1, y1 in frame pixels and perhaps coefficients; and how many candidates were
dropped because they are not finite. Best first, equal scores in the order of
the tensor. Written from the description in docs/hltensordec.md, in float64
where the scores allow it.
"""

from dataclasses import dataclass

import numpy as np

import detect


@dataclass
class Frame:
    """A frame in a model's image: model = frame * scale + pad, by axis x and y."""
    size: tuple                 # width, height
    model: tuple                # width, height
    scale: tuple = (1.0, 1.0)
    pad: tuple = (0.0, 0.0)

    @staticmethod
    def letterboxed(width, height, side):
        _, new_w, new_h, left, top = detect.letterbox_geometry(width, height, side)
        return Frame((width, height), (side, side), (new_w / width, new_h / height), (left, top))

    def place(self, corners):
        """n x 4 corners x0, y0, x1, y1 of the model's image to the frame, clipped."""
        scale, pad, size = (np.tile(np.asarray(v, float), 2) for v in (self.scale, self.pad, self.size))
        return np.clip((corners - pad) / scale, 0, size)


@dataclass
class Options:
    score: float = 0.5
    iou: float = 0.5
    class_aware: bool = True
    max_candidates: int = 4096
    max_detections: int = 100
    top_k: int = 1
    wanted: tuple = ()          # classes; none: all


def _wanted(classes, options):
    return np.isin(classes, options.wanted) if options.wanted else np.ones(len(classes), bool)


def _select(corners, scores, classes, options, suppress=True):
    """Indices of what is reported, of candidates that are finite and reach the score."""
    alive = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]) & _wanted(classes, options)
    order = np.flatnonzero(alive)
    order = order[np.argsort(-scores[order], kind="stable")]
    if not suppress:
        return order[:options.max_detections]
    order = order[:options.max_candidates]
    boxes = np.concatenate([corners[order, :2], corners[order, 2:] - corners[order, :2]], axis=1)
    covers = detect.iou(boxes, boxes) > options.iou
    if options.class_aware:
        covers &= classes[order][:, None] == classes[order]
    kept, covered = [], np.zeros(len(order), bool)
    for i in range(len(order)):
        if not covered[i] and len(kept) < options.max_detections:
            kept.append(i)
            covered |= covers[i]
    return order[kept]


def _objects(chosen, corners, scores, classes):
    return [{"class": int(classes[i]), "score": float(np.clip(scores[i], 0, 1)),
             **dict(zip(("x0", "y0", "x1", "y1"), corners[i].tolist()))} for i in chosen]


def _from_centres(values, frame):
    cx, cy, w, h = values.astype(float).T
    corners = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    corners[(w <= 0) | (h <= 0)] = 0        # nothing is left of it
    return frame.place(corners)


def _yolov8_boxes(tensor, frame, options, extra):
    """(indices of the boxes chosen, corners, scores, classes, rows, dropped) of all that reach the score."""
    rows = tensor[0].T
    scores = rows[:, 4:rows.shape[1] - extra]
    sound = np.isfinite(scores).all(axis=1)
    reaches = np.zeros(len(rows), bool)
    reaches[sound] = scores[sound].max(axis=1) >= options.score
    good = reaches & np.isfinite(rows).all(axis=1)
    dropped = int((~sound).sum() + (reaches & ~good).sum())
    rows = rows[good]
    scores = scores[good]
    classes, best = scores.argmax(axis=1), scores.max(axis=1, initial=-np.inf)
    corners = _from_centres(rows[:, :4], frame)
    return _select(corners, best, classes, options), corners, best, classes, rows, dropped


def yolov8(tensor, frame, options):
    """1 x (4+C) x N."""
    chosen, corners, scores, classes, _, dropped = _yolov8_boxes(tensor, frame, options, 0)
    return _objects(chosen, corners, scores, classes), dropped


def yolov5(tensor, frame, options):
    """1 x N x (5+C)."""
    rows = tensor[0]
    asked = np.isfinite(rows[:, 4]) & (np.nan_to_num(rows[:, 4]) >= options.score)
    good = asked & np.isfinite(rows).all(axis=1)
    dropped = int((~np.isfinite(rows[:, 4])).sum() + (asked & ~good).sum())
    rows = rows[good]
    scores = rows[:, 5:].max(axis=1, initial=-np.inf) * rows[:, 4]
    rows, scores = rows[scores >= options.score], scores[scores >= options.score]
    corners, classes = _from_centres(rows[:, :4], frame), rows[:, 5:].argmax(axis=1)
    return _objects(_select(corners, scores, classes, options), corners, scores, classes), dropped


def ssd(boxes, scores, classes, count, frame, options):
    """1 x N x 4 (top, left, bottom, right, in parts), 1 x N, 1 x N, and one number."""
    claimed = float(count.reshape(-1)[0])
    if not np.isfinite(claimed):
        return [], 1
    used = int(np.clip(claimed, 0, boxes.shape[1]))
    boxes, scores, classes = boxes[0, :used].astype(float), scores[0, :used], classes[0, :used].astype(float)
    asked = ~np.isfinite(scores) | (np.nan_to_num(scores) >= options.score)
    good = asked & np.isfinite(scores) & np.isfinite(classes) & np.isfinite(boxes).all(axis=1)
    dropped = int((asked & ~good).sum())
    boxes, scores, classes = boxes[good], scores[good], classes[good]
    named = (classes >= 0) & (classes < 65536)
    boxes, scores, classes = boxes[named], scores[named], classes[named].astype(int)
    corners = frame.place(boxes[:, [1, 0, 3, 2]] * np.tile(np.asarray(frame.model, float), 2))
    return _objects(_select(corners, scores, classes, options, suppress=False), corners, scores, classes), dropped


def classifier(values, options, softmax):
    """C or 1 x C; uint8 are parts of 255."""
    values = values.reshape(-1).astype(float) / (255 if values.dtype == np.uint8 else 1)
    sound = np.flatnonzero(np.isfinite(values))
    scores = values[sound]
    if softmax and len(scores):
        powers = np.exp(scores - scores.max())
        scores = powers / powers.sum()
    scores = np.clip(scores, 0, 1).astype(np.float32)
    keep = (scores >= np.float32(options.score)) & _wanted(sound, options)
    order = np.flatnonzero(keep)[np.argsort(-scores[keep], kind="stable")][:options.top_k]
    return [{"class": int(sound[i]), "score": float(scores[i])} for i in order], len(values) - len(sound)


def pixels(box, frame):
    """x, y, width, height of an object in whole pixels."""
    out = []
    for low, high, limit in ((box["x0"], box["x1"], frame.size[0]), (box["y0"], box["y1"], frame.size[1])):
        start = min(int(np.floor(low + 0.5)), limit - 1)
        out.append((start, max(int(np.floor(high + 0.5)), start + 1) - start))
    return out[0][0], out[1][0], out[0][1], out[1][1]


def _cells(start, extent, axis, count, frame):
    """Prototype pixel under the centre of each cell of a mask, along one axis."""
    per_pixel = count / frame.model[axis]
    cells = int(np.clip(np.floor(extent * frame.scale[axis] * per_pixel + 0.5), 1, count))
    centres = start + (np.arange(cells) + 0.5) * extent / cells
    return np.clip(np.floor((centres * frame.scale[axis] + frame.pad[axis]) * per_pixel), 0, count - 1).astype(int)


def mask_sums(box, coefficients, prototypes, frame):
    """Rows x columns of the sums over a pixel box x, y, width, height; above zero is inside. `prototypes`: 1 x M x H x W."""
    x, y, width, height = box
    columns = _cells(x, width, 0, prototypes.shape[3], frame)
    rows = _cells(y, height, 1, prototypes.shape[2], frame)
    with np.errstate(invalid="ignore"):
        return np.einsum("m,mij->ij", coefficients.astype(float), prototypes[0][:, rows][:, :, columns].astype(float))


def yolov8_seg(detections, prototypes, frame, options):
    """1 x (4+C+M) x N and 1 x M x H x W. Objects have their M coefficients, for mask_sums()."""
    extra = prototypes.shape[1]
    chosen, corners, scores, classes, rows, dropped = _yolov8_boxes(detections, frame, options, extra)
    found = []
    for i, box in zip(chosen, _objects(chosen, corners, scores, classes)):
        if np.isfinite(mask_sums(pixels(box, frame), rows[i, -extra:], prototypes, frame)).all():
            found.append({**box, "coefficients": rows[i, -extra:]})
        else:
            dropped += 1
    return found, dropped
