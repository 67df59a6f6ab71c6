# SPDX-License-Identifier: LGPL-2.1-or-later
"""The detector's surroundings in numpy: letterboxing, decoding, NMS.

A plain reference of what the elements do in C++, used to make training images
and to measure the model without GStreamer. Nothing here needs torch.
"""

import numpy as np

SIDE = 320
PAD = 114


def letterbox_geometry(width, height, side=SIDE):
    """(scale, new width, new height, left, top) of a frame centred in a side x side square."""
    scale = min(side / width, side / height)
    new_w, new_h = max(1, round(width * scale)), max(1, round(height * scale))
    return scale, new_w, new_h, (side - new_w) // 2, (side - new_h) // 2


def bilinear(image, new_w, new_h):
    """Four-tap bilinear resize of a uint8 HxWx3 image, half-pixel centres, no low-pass."""
    def taps(n_out, n_in):
        at = np.clip((np.arange(n_out, dtype=np.float32) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
        low = at.astype(np.int64)
        return low, np.minimum(low + 1, n_in - 1), at - low

    y0, y1, fy = taps(new_h, image.shape[0])
    x0, x1, fx = taps(new_w, image.shape[1])
    fy, fx = fy[:, None, None], fx[None, :, None]
    top, bottom = image[y0], image[y1]
    above = top[:, x0] * (1 - fx) + top[:, x1] * fx
    below = bottom[:, x0] * (1 - fx) + bottom[:, x1] * fx
    return (above * (1 - fy) + below * fy + 0.5).astype(np.uint8)


def letterbox(image, side=SIDE):
    """A uint8 frame in the middle of a grey side x side square, bilinear."""
    _, new_w, new_h, left, top = letterbox_geometry(image.shape[1], image.shape[0], side)
    square = np.full((side, side, 3), PAD, dtype=np.uint8)
    square[top:top + new_h, left:left + new_w] = bilinear(image, new_w, new_h)
    return square


def to_tensor(square):
    """uint8 HxWx3 to the model's float32 1x3xHxW in 0..1."""
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None]).astype(np.float32) / 255


def iou(a, b):
    """IoU of every box in a (n x 4: x, y, w, h) with every box in b (m x 4)."""
    a, b = np.asarray(a, dtype=float).reshape(-1, 4), np.asarray(b, dtype=float).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - inner
    return np.where(union > 0, inner / np.where(union > 0, union, 1), 0.0)


def decode(output, width, height, labels, score=0.5, iou_threshold=0.5, side=SIDE):
    """Detections [{label, score, x, y, w, h}] in frame pixels, best first, from a 1 x (4+classes) x N tensor."""
    rows = output[0]
    classes = rows[4:].argmax(axis=0)
    scores = rows[4:].max(axis=0)
    keep = np.flatnonzero(scores >= score)
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    scale, _, _, left, top = letterbox_geometry(width, height, side)
    cx, cy, w, h = (rows[i, keep] / scale for i in range(4))
    x0 = np.clip(cx - w / 2 - left / scale, 0, width)
    y0 = np.clip(cy - h / 2 - top / scale, 0, height)
    x1 = np.clip(cx + w / 2 - left / scale, 0, width)
    y1 = np.clip(cy + h / 2 - top / scale, 0, height)
    boxes = np.stack([x0, y0, x1 - x0, y1 - y0], axis=1)

    chosen = []
    for i in range(len(keep)):
        same = [j for j in chosen if classes[keep[j]] == classes[keep[i]]]
        if not same or iou(boxes[i], boxes[same]).max() <= iou_threshold:
            chosen.append(i)
    return [{"label": labels[classes[keep[i]]], "score": float(scores[keep[i]]),
             "x": float(boxes[i, 0]), "y": float(boxes[i, 1]), "w": float(boxes[i, 2]), "h": float(boxes[i, 3])}
            for i in chosen]
