#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the pool of training images: scenes, squeezed by JPEG, letterboxed to 320x320.

    pool.py --out DIR --scenes 1500 [--first 0] [--domain train]

writes DIR/images.npy (uint8 N x 320 x 320 x 3) and DIR/boxes.npy (float32
M x 7: image, class, x0, y0, x1, y1, ignore; pixels of the square).
"""

import argparse
import io
import os
import sys

import numpy as np
from PIL import Image

import detect
import scenes

FIRST_SEED = 1_000_000_000
FRAMES_PER_SCENE = 4
SIZES = ((640, 480), (640, 480), (640, 480), (640, 360), (640, 360), (1280, 720), (480, 360), (854, 480), (480, 480),
         (480, 640))


def squeeze(rng, frame):
    """The frame after lossy compression of some quality, sometimes twice."""
    for _ in range(1 if rng.random() < 0.8 else 2):
        store = io.BytesIO()
        Image.fromarray(frame).save(store, "JPEG", quality=int(rng.integers(30, 92)), subsampling=2)
        frame = np.asarray(Image.open(store))
    return frame


def fit(rng, frame):
    """(square, x scale, y scale, left, top): letterboxed, or now and then stretched or padded off centre."""
    h, w = frame.shape[:2]
    _, new_w, new_h, left, top = detect.letterbox_geometry(w, h)
    if rng.random() < 0.12:
        new_w, new_h, left, top = detect.SIDE, detect.SIDE, 0, 0
    elif rng.random() < 0.3:
        shrink = rng.uniform(0.75, 1.0)
        new_w, new_h = round(new_w * shrink), round(new_h * shrink)
        left, top = rng.integers(detect.SIDE - new_w + 1), rng.integers(detect.SIDE - new_h + 1)
    if rng.random() < 0.5:
        small = detect.bilinear(frame, new_w, new_h)
    else:
        small = np.asarray(Image.fromarray(frame).resize((new_w, new_h), Image.BILINEAR))
    square = np.full((detect.SIDE, detect.SIDE, 3), detect.PAD, dtype=np.uint8)
    square[top:top + new_h, left:left + new_w] = small
    return square, new_w / w, new_h / h, left, top


def main(argv=None):
    parser = argparse.ArgumentParser(description="Make the pool of training images.")
    parser.add_argument("--out", required=True)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--domain", default="train", choices=sorted(scenes.DOMAINS))
    args = parser.parse_args(argv)

    os.makedirs(args.out, exist_ok=True)
    count = args.scenes * FRAMES_PER_SCENE
    images = np.lib.format.open_memmap(os.path.join(args.out, "images.tmp.npy"), mode="w+", dtype=np.uint8,
                                       shape=(count, detect.SIDE, detect.SIDE, 3))
    boxes = []
    for k in range(args.scenes):
        seed = FIRST_SEED + args.first + k
        rng = np.random.default_rng((99, seed))
        width, height = SIZES[rng.integers(len(SIZES))]
        scene = scenes.Scene(seed, width, height, 30, domain=args.domain)
        for j, i in enumerate(rng.integers(0, 240, FRAMES_PER_SCENE)):
            frame, truth = scene.frame(int(i))
            at = k * FRAMES_PER_SCENE + j
            square, sx, sy, left, top = fit(rng, squeeze(rng, frame))
            images[at] = square
            for box in truth:
                x0, y0 = box["x"] * sx + left, box["y"] * sy + top
                boxes.append((at, scenes.LABELS.index(box["label"]), x0, y0,
                              x0 + box["w"] * sx, y0 + box["h"] * sy, box["ignore"]))
        if k % 100 == 99:
            print(f"pool: {k + 1} of {args.scenes} scenes", flush=True)
    images.flush()
    np.save(os.path.join(args.out, "boxes.npy"), np.array(boxes, dtype=np.float32))
    os.replace(os.path.join(args.out, "images.tmp.npy"), os.path.join(args.out, "images.npy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
