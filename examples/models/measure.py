#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures a detector on clips it has never seen, with ONNX Runtime on the CPU.

    measure.py --model demo.onnx --seeds 20261121,20261122 --frames 300 --codec h264

Takes the way of the demo in plain Python: scenes, lossy compression, bilinear
letterbox, model, score threshold and NMS, then precision and recall at IoU 0.5.
--codec h264 needs gst-launch-1.0 with x264enc and avdec_h264. No GStreamer
element of this project and no Gaudi, real or simulated, is involved.
"""

import argparse
import io
import json
import math
import subprocess
import sys
import threading

import numpy as np
from PIL import Image

import detect
import evaluate
import runtime
import scenes


def through_jpeg(frames, seed):
    rng = np.random.default_rng((17, seed))
    for frame in frames:
        store = io.BytesIO()
        Image.fromarray(frame).save(store, "JPEG", quality=int(rng.integers(40, 81)), subsampling=2)
        yield np.asarray(Image.open(store))


def through_h264(frames, width, height, fps, bitrate):
    """Encodes with x264enc, decodes with avdec_h264."""
    line = (f"fdsrc ! rawvideoparse format=rgb width={width} height={height} framerate={int(fps)}/1 ! videoconvert ! "
            f"video/x-raw,format=I420 ! x264enc speed-preset=veryfast bitrate={bitrate} threads=1 ! h264parse ! "
            "avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=RGB ! fdsink")
    process = subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def feed():
        for frame in frames:
            process.stdin.write(frame.tobytes())
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    # GStreamer pads RGB rows to a multiple of four bytes.
    stride = (width * 3 + 3) // 4 * 4
    while True:
        data = process.stdout.read(stride * height)
        if len(data) < stride * height:
            break
        yield np.frombuffer(data, dtype=np.uint8).reshape(height, stride)[:, :width * 3].reshape(height, width, 3)
    feeder.join()
    if process.wait() != 0:
        raise RuntimeError("the pipeline that encodes and decodes failed")


def run(model, seed, args, lowest):
    """(detections per frame down to the score `lowest`, truth per frame)."""
    width, height = args.size
    truth = []

    def source():
        for frame, boxes in scenes.clip(seed, args.frames, width, height, args.fps, domain=args.domain):
            truth.append(boxes)
            yield frame

    frames = source()
    if args.codec == "jpeg":
        frames = through_jpeg(frames, seed)
    elif args.codec == "h264":
        frames = through_h264(frames, width, height, args.fps, args.bitrate)
    found = []
    for frame in frames:
        (output,) = model.run(None, {"images": detect.to_tensor(detect.letterbox(frame))})
        found.append(detect.decode(output, width, height, scenes.LABELS, score=lowest))
    return found, truth


def threshold_sweep(found, truth):
    """Prints precision and recall over the score; returns the best score by F1."""
    best = (0.0, 0.5)
    for score in np.arange(0.2, 0.85, 0.05):
        result = evaluate.evaluate(found, truth, float(score))
        p, r = result["precision"], result["recall"]
        f1 = 2 * p * r / (p + r) if p + r else 0.0
        print(f"  score {score:.2f}: precision {p:.4f} recall {r:.4f} F1 {f1:.4f}")
        best = max(best, (f1, float(score)))
    return best[1]


def main(argv=None):
    parser = argparse.ArgumentParser(description="Measure a detector on unseen clips.")
    parser.add_argument("--model", default="demo.onnx")
    parser.add_argument("--seeds", default="20261121,20261122,20261123,20261124,20261125")
    parser.add_argument("--domain", default="clip", choices=sorted(scenes.DOMAINS))
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=scenes.parse_size, default=(640, 480), metavar="WxH")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--codec", choices=("none", "jpeg", "h264"), default="h264")
    parser.add_argument("--bitrate", type=int, default=2048, help="of H.264, kbit/s")
    parser.add_argument("--sweep", action="store_true", help="also over the score; names the logit shift for train.py")
    parser.add_argument("--require", type=float, metavar="X", help="fail unless both are at least X on every seed")
    parser.add_argument("--save", metavar="FILE", help="write detections and truth as JSON")
    args = parser.parse_args(argv)

    model = runtime.session(args.model)
    all_found, all_truth, worst = [], [], 1.0
    print(f"{'seed':>10} {'frames':>6} {'precision':>9} {'recall':>7}  (score 0.5, IoU 0.5, {args.codec})")
    for seed in (int(text) for text in args.seeds.split(",")):
        found, truth = run(model, seed, args, 0.2 if args.sweep else 0.5)
        result = evaluate.evaluate(found, truth)
        print(f"{seed:>10} {result['frames']:>6} {result['precision']:9.4f} {result['recall']:7.4f}", flush=True)
        worst = min(worst, result["precision"], result["recall"])
        all_found += found
        all_truth += truth
    result = evaluate.evaluate(all_found, all_truth)
    print(f"{'all':>10} {result['frames']:>6} {result['precision']:9.4f} {result['recall']:7.4f}")
    for label, row in result["labels"].items():
        print(f"{label:>17} {row['precision']:9.4f} {row['recall']:7.4f}")
    if args.sweep:
        best = threshold_sweep(all_found, all_truth)
        print(f"best score {best:.2f}: --logit-shift {-math.log(best / (1 - best)):.3f}")
    if args.save:
        with open(args.save, "w", encoding="utf-8") as file:
            json.dump({"detections": all_found, "truth": all_truth}, file)
    if args.require is not None and worst < args.require:
        print(f"measure.py: {worst:.4f} is below {args.require}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
