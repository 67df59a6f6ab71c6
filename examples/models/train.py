#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the demo detector and writes demo.onnx.

    pool.py --out POOL ... ; train.py --pool POOL [--pool POOL2] --work DIR --out demo.onnx

Own code and own synthetic data throughout. Needs PyTorch, numpy and onnx; the
demo and the tests need none of the first and last.
"""

import argparse
import copy
import math
import os
import sys
import time

import numpy as np
import torch

import detector
import scenes

OUTPUT, INPUT, TENSOR_ID = "output0", "images", "yolo-v8-out"


class Pool:
    """Training images on disk, and batches of them with cheap augmentation."""

    def __init__(self, folders):
        self.images, self.boxes = [], []
        for folder in folders:
            images = np.load(os.path.join(folder, "images.npy"), mmap_mode="r")
            boxes = np.load(os.path.join(folder, "boxes.npy"))
            edges = np.searchsorted(boxes[:, 0], np.arange(len(images) + 1))
            for i in range(len(images)):
                self.images.append(images[i])
                self.boxes.append(boxes[edges[i]:edges[i + 1], 1:])

    def __len__(self):
        return len(self.images)

    def sample(self, rng, i):
        """(uint8 HxWx3, boxes K x 6: class, corners, ignore) with colour, mirror and place changed at random."""
        image, boxes = np.array(self.images[i]), self.boxes[i].copy()
        side = image.shape[0]
        if rng.random() < 0.5:
            image, boxes[:, [1, 3]] = image[:, ::-1], side - boxes[:, [3, 1]]
        image = image[..., rng.permutation(3)]
        if rng.random() < 0.5:
            dx, dy = rng.integers(-20, 21, 2)
            moved = np.full_like(image, 114)
            moved[max(0, dy):side + min(0, dy), max(0, dx):side + min(0, dx)] = \
                image[max(0, -dy):side - max(0, dy), max(0, -dx):side - max(0, dx)]
            image, boxes = moved, self._shift(boxes, dx, dy, side)
        if rng.random() < 0.4:
            gain, bias = rng.uniform(0.7, 1.25), rng.uniform(-25, 25)
            table = np.clip(np.arange(256) * gain + bias, 0, 255).astype(np.uint8)
            image = table[image]
        return image, boxes

    @staticmethod
    def _shift(boxes, dx, dy, side):
        """Boxes after a move; one that lost over a fifth of its area at the edge is no longer taught."""
        before = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
        boxes[:, [1, 3]] = np.clip(boxes[:, [1, 3]] + dx, 0, side)
        boxes[:, [2, 4]] = np.clip(boxes[:, [2, 4]] + dy, 0, side)
        after = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
        boxes[after < 0.8 * before, 5] = 1
        return boxes[after > 0]

    def batch(self, rng, indices, centres):
        """Tensors (images, truth B x M x 5, valid B x M, blind B x N) for detector.loss."""
        picked = [self.sample(rng, i) for i in indices]
        images = torch.from_numpy(np.stack([p[0] for p in picked])).permute(0, 3, 1, 2).float().div_(255)
        most = max(1, max(int((p[1][:, 5] == 0).sum()) for p in picked))
        truth, valid = torch.zeros(len(picked), most, 5), torch.zeros(len(picked), most, dtype=torch.bool)
        blind = torch.zeros(len(picked), len(centres), dtype=torch.bool)
        for b, (_, boxes) in enumerate(picked):
            taught = boxes[boxes[:, 5] == 0]
            truth[b, :len(taught)] = torch.from_numpy(taught[:, :5])
            valid[b, :len(taught)] = True
            for box in boxes[boxes[:, 5] != 0]:
                low, high = torch.tensor(box[1:3]), torch.tensor(box[3:5])
                blind[b] |= ((centres >= low) & (centres <= high)).all(-1)
        return images.contiguous(memory_format=torch.channels_last), truth, valid, blind


def rate(step, progress, peak, warm=200):
    """Learning rate: linear warm-up, then half a cosine down to a hundredth at progress 1."""
    return peak * min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    pool = Pool(args.pool)
    model = detector.Detector(len(scenes.LABELS)).to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).eval()
    decay, plain = [], []
    for parameter in model.parameters():
        (decay if parameter.ndim > 1 else plain).append(parameter)
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}])
    print(f"{len(pool)} images, {sum(p.numel() for p in model.parameters())} parameters, {args.steps} steps")

    order, at, sums, start = rng.permutation(len(pool)), 0, np.zeros(2), time.time()
    for step in range(args.steps):
        progress = max(step / args.steps, (time.time() - start) / (60 * args.minutes))
        if progress >= 1:
            break
        if at + args.batch > len(order):
            order, at = rng.permutation(len(pool)), 0
        images, truth, valid, blind = pool.batch(rng, order[at:at + args.batch], model.centres)
        at += args.batch
        for group in optimiser.param_groups:
            group["lr"] = rate(step, progress, args.rate)
        distances, logits = model.raw(images)
        total, class_loss, box_loss = detector.loss(model, distances, logits, truth, valid, blind)
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        keep = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(average.state_dict().values(), model.state_dict().values()):
                if mean.dtype.is_floating_point:
                    mean.lerp_(now, 1 - keep)
        sums += float(class_loss), float(box_loss)
        if step % 50 == 49:
            print(f"step {step + 1}: class {sums[0] / 50:.3f} box {sums[1] / 50:.3f} "
                  f"{(step + 1) / (time.time() - start):.2f} steps/s", flush=True)
            sums[:] = 0
        if step % 250 == 249:
            torch.save(average.state_dict(), os.path.join(args.work, "average.pt"))
    torch.save(average.state_dict(), os.path.join(args.work, "average.pt"))
    print(f"trained {step + 1} steps in {(time.time() - start) / 60:.0f} minutes")
    return average


def fuse(module):
    """Folds every BatchNorm into the convolution before it, in place."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Sequential) and len(child) == 3 and isinstance(child[1], torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.Sequential(
                torch.nn.utils.fuse_conv_bn_eval(child[0], child[1]), child[2]))
        else:
            fuse(child)
    return module


def export(model, path, logit_shift):
    """Writes the ONNX file, with `logit_shift` added to every class logit."""
    import onnx
    model = fuse(copy.deepcopy(model).eval().to(memory_format=torch.contiguous_format))
    with torch.no_grad():
        for layer in model.class_out:
            layer.bias += logit_shift
    example = torch.zeros(1, 3, model.side, model.side)
    torch.onnx.export(model, example, path, input_names=[INPUT], output_names=[OUTPUT], opset_version=13)
    graph = onnx.load(path)
    graph.producer_name, graph.producer_version = "gst-habana", ""
    graph.doc_string = "Shapes in synthetic scenes; trained by examples/models/train.py. LGPL-2.1-or-later."
    del graph.metadata_props[:]
    # GStreamer 1.26's onnxinference reads a tensor's id from the property named like the tensor.
    onnx.helper.set_model_props(graph, {OUTPUT: TENSOR_ID, "labels": ",".join(scenes.LABELS)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Train the demo detector.")
    parser.add_argument("--pool", action="append", required=True, help="folder made by pool.py; may be given again")
    parser.add_argument("--work", required=True, help="folder for checkpoints")
    parser.add_argument("--out", required=True, help="the ONNX file to write")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=120.0, help="stop by then; the learning rate falls in time for it")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logit-shift", type=float, default=0.0,
                        help="added to the class logits, so that 0.5 is the best threshold (see measure.py)")
    parser.add_argument("--export-only", action="store_true", help="export the checkpoint in --work")
    args = parser.parse_args(argv)
    os.makedirs(args.work, exist_ok=True)
    if args.export_only:
        model = detector.Detector(len(scenes.LABELS))
        model.load_state_dict(torch.load(os.path.join(args.work, "average.pt"), weights_only=True))
    else:
        model = train(args)
    export(model, args.out, args.logit_shift)
    return 0


if __name__ == "__main__":
    sys.exit(main())
