#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A model with its preprocessing folded in, run by hlinfer on raw planes, beside the model as it was, whose image hlinfer makes.

Usage: fold_preprocessing_test.py PATH-OF-examples/models PATH-OF-test-models

Both get the very same NV12 frames. hlinfer's preprocessing blends rows in 8 bits and rounds them, so that a sample of it may be one level off; the folded graph computes in float32 and rounds only
where the image's type does. An image of the two may differ by that level through the colour matrix (of the larger coefficients in sight: 3.2 levels of blue), and by one more where it is uint8.
Against the definition, in double precision, the folded one may be 0.1 of a level off. Where rows need no rounding, tensors agree to float32.
"""
import itertools
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

MODELS, TEST_MODELS = map(Path, sys.argv[1:3])
sys.path[:0] = [str(MODELS), str(MODELS.parent / "demo"), str(Path(__file__).parent)]

import decoders_test as common  # noqa: E402
from decoders_test import Gst  # noqa: E402
import clip  # noqa: E402
import numpy as np  # noqa: E402

# Colorimetry as caps write it, and R, G, B of Y - black, U - 128, V - 128 as the standards' texts are usually quoted.
MATRICES = {
    "2:4:5:4": (16, ((1.16438, 0, 1.59603), (1.16438, -0.39176, -0.81297), (1.16438, 2.01723, 0))),
    "2:3:5:1": (16, ((1.16438, 0, 1.79274), (1.16438, -0.21325, -0.53291), (1.16438, 2.11240, 0))),
    "1:4:5:4": (0, ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0))),
    "1:3:5:1": (0, ((1, 0, 1.5748), (1, -0.187324, -0.468124), (1, 1.8556, 0))),
    "2:6:13:7": (16, ((1.16438, 0, 1.67867), (1.16438, -0.18733, -0.65042), (1.16438, 2.14177, 0))),
    "2:2:5:4": (16, ((1.16438, 0, 1.59375), (1.16438, -0.37779, -0.81038), (1.16438, 2.02634, 0))),
    "2:5:6:5": (16, ((1.16438, 0, 1.79411), (1.16438, -0.25799, -0.54257), (1.16438, 2.07871, 0))),
}
LEVEL = 0.1     # of float32 along the way, in places of samples most of all


def described(source, folder, **keys):
    """A copy of a model whose [gst-habana] has these keys."""
    path = folder / source.name
    shutil.copy(source, path)
    info = Path(f"{source}.modelinfo").read_text(encoding="utf-8").splitlines()
    info = [line for line in info if line.split("=")[0].replace("-", "_") not in keys]
    info += [f"{key.replace('_', '-')}={value}" for key, value in keys.items()]
    Path(f"{path}.modelinfo").write_text("\n".join(info) + "\n", encoding="utf-8")
    for labels in (*TEST_MODELS.glob("*.labels.txt"), *MODELS.glob("*.labels.txt")):
        shutil.copy(labels, folder)
    return path


def folded(model, size, *more):
    out = model.with_name("folded-" + model.name)
    done = subprocess.run([sys.executable, MODELS / "fold_preprocessing.py", model, out, "--size", "x".join(map(str, size)), *more],
                          capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return out


def noise(size, seed=1, doubled_rows=False):
    """Planes of an NV12 frame. Doubled rows: halving the height rounds nothing."""
    width, height = size
    rng = np.random.default_rng(seed)
    luma = rng.integers(0, 256, (height // 2 if doubled_rows else height, width), np.uint8)
    return (np.repeat(luma, 2, axis=0) if doubled_rows else luma), rng.integers(0, 256, (height // 2, width // 2, 2), np.uint8)


class Beside:
    """Two models side by side on the same frames; what follows hlinfer is `tail`."""

    def __init__(self, source, models, tail=""):
        text = f"{source} ! tee name=split "
        for i, model in enumerate(models):
            text += f"split. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! hlinfer name=infer{i} compute-threads=1 model={model} {tail} ! appsink name=sink{i} sync=false "
        self.pipeline = Gst.parse_launch(text)
        self.count = len(models)

    def run(self, frames=()):
        """The buffers of each frame, one per model."""
        self.pipeline.set_state(Gst.State.PLAYING)
        if source := self.pipeline.get_by_name("source"):
            for frame in frames:
                source.push_buffer(Gst.Buffer.new_wrapped(b"".join(plane.tobytes() for plane in frame)))
            source.end_of_stream()
        sinks = [self.pipeline.get_by_name(f"sink{i}") for i in range(self.count)]
        out = []
        while len(samples := list(itertools.takewhile(bool, (sink.try_pull_sample(60 * Gst.SECOND) for sink in sinks)))) == self.count:
            out.append([sample.get_buffer() for sample in samples])
        error = self.pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        assert error is None, error.parse_error()
        places = [self.pipeline.get_by_name(f"infer{i}").get_property("stats").get_string("preprocess") for i in range(self.count)]
        assert places == ["host", "in-model"], places
        self.pipeline.set_state(Gst.State.NULL)
        return out


def raw(size, colorimetry):
    return f"appsrc name=source format=time caps=video/x-raw,format=NV12,width={size[0]},height={size[1]},framerate=0/1,colorimetry={colorimetry}"


def bilinear(plane, size):
    """h x w x channels to `size`, by definition: pixel centres at half coordinates, edges repeated."""
    for axis, to in ((0, size[1]), (1, size[0])):
        have = plane.shape[axis]
        at = np.clip((np.arange(to) + 0.5) * have / to - 0.5, 0, have - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, have - 1)
        shape = [1, 1, 1]
        shape[axis] = to
        part = (at - low).reshape(shape)
        plane = plane.take(low, axis) * (1 - part) + plane.take(high, axis) * part
    return plane


def image_by_definition(frame, colorimetry, image, inner, border):
    """3 x H x W RGB, 0..255, the border NaN."""
    luma, chroma = frame
    black, matrix = MATRICES[colorimetry]
    yuv = np.concatenate([bilinear(luma[:, :, None].astype(float), inner) - black, bilinear(chroma.astype(float), inner) - 128], axis=2)
    out = np.full((3, image[1], image[0]), np.nan)
    out[:, border[1]:border[1] + inner[1], border[0]:border[0] + inner[0]] = np.clip(np.einsum("kc,hwc->khw", np.array(matrix), yuv), 0, 255)
    return out


class Folded(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def compare_images(self, kind, colorimetry, size, mode, inner, border, colour="RGB", mean=(0, 0, 0), scale=(1 / 255,) * 3):
        """One frame of noise through an image-* model, whose output `echo` is its image, 64x48."""
        model = described(TEST_MODELS / f"image-{kind}.onnx", self.folder, scale_mode=mode, pad_value=93, colour=colour,
                          mean=",".join(map(str, mean)), scale=",".join(map(str, scale)))
        frame = noise(size)
        ((ours, theirs),) = Beside(raw(size, colorimetry), (model, folded(model, size, "--colorimetry", colorimetry))).run([frame])
        ours, theirs = (common.tensors_of(buffer)["echo"][0].astype(float) for buffer in (ours, theirs))
        factor = np.abs(np.array(scale if "u8" not in kind else (1, 1, 1), float)).reshape(3, 1, 1)
        offset = 0 if "u8" in kind else -np.array(scale).reshape(3, 1, 1) * np.array(mean).reshape(3, 1, 1)
        matrix = np.abs(np.array(MATRICES[colorimetry][1]))
        wanted = image_by_definition(frame, colorimetry, (64, 48), inner, border)
        if colour == "BGR":
            matrix, wanted = matrix[::-1], wanted[::-1]
        rounding = {"f32": 0, "f16": np.spacing(np.float16(np.abs(ours).max())), "u8": 1}[kind.split("-")[0]]
        levels = matrix.sum(axis=1).reshape(3, 1, 1)
        self.assertTrue((np.abs(ours - theirs) <= (levels + LEVEL) * factor + rounding).all(), np.abs(ours - theirs).max())
        wanted = np.where(np.isnan(wanted), 93, wanted) * np.sign(np.array(scale)).reshape(3, 1, 1) * factor + offset
        off = np.abs(theirs - wanted) / factor
        self.assertTrue((np.abs(theirs - wanted) <= LEVEL * factor + rounding / 2).all(), off.max())
        print(f"{kind} {colorimetry} {size[0]}x{size[1]} {mode} {colour}: differ by {(np.abs(ours - theirs) / factor).max():.3f} levels at most, folded from its definition by {off.max():.3f}")

    def test_images_of_every_colorimetry(self):
        for colorimetry in MATRICES:
            with self.subTest(colorimetry):
                self.compare_images("f32-nchw", colorimetry, (172, 100), "stretch", (64, 48), (0, 0))
                self.compare_images("f32-nchw", colorimetry, (172, 100), "letterbox", (64, 37), (0, 5))

    def test_images_of_every_type_and_layout(self):
        for kind in ("f32-nhwc", "f16-nchw", "f16-nhwc", "u8-nchw", "u8-nhwc"):
            with self.subTest(kind):
                self.compare_images(kind, "2:3:5:1", (40, 90), "letterbox", (21, 48), (21, 0))

    def test_images_of_every_normalisation_and_size(self):
        imagenet = {"mean": (123.675, 116.28, 103.53), "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375)}
        for size in ((64, 48), (128, 96), (1920, 1080), (4, 2), (32, 200)):
            for colour in ("RGB", "BGR"):
                with self.subTest(size=size, colour=colour):
                    self.compare_images("f32-nchw", "2:4:5:4", size, "stretch", (64, 48), (0, 0), colour, **imagenet)
        self.compare_images("f32-nchw", "2:4:5:4", (200, 20), "letterbox", (64, 6), (0, 21), "BGR", mean=(10, 20, 30), scale=(-0.5, 0.25, 2))

    def test_what_rounds_nothing_is_equal_and_every_head_lands_in_the_frame(self):
        """Frames whose rows are there twice, at twice the model's height: hlinfer blends them without rounding."""
        tails = [(kind, f"! hltensordec score-threshold=0.02 {how}") for kind, (how, _) in common.KINDS.items()]
        for mode, size in (("letterbox", (128, 96)), ("stretch", (256, 128))):
            model = described(TEST_MODELS / "heads.onnx", self.folder, scale_mode=mode, pad_value=114)
            pair = (model, folded(model, size, "--colorimetry", "bt709"))
            frames = [noise(size, seed, doubled_rows=True) for seed in range(3)]
            for kind, tail in tails:
                with self.subTest(mode=mode, kind=kind):
                    compared = 0
                    for buffers in Beside(raw(size, "bt709"), pair, tail).run(frames):
                        ours, theirs = map(common.metas_of, buffers)
                        for one, other in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
                            self.assertEqual(one["label"], other["label"])
                            self.assertAlmostEqual(one["score"], other["score"], delta=1e-4)
                            if "box" in one:
                                np.testing.assert_allclose(one["box"], other["box"], atol=1)
                            if "mask" in one:
                                self.assertEqual(one["mask"]["cells"].shape, other["mask"]["cells"].shape)
                                self.assertGreater((one["mask"]["cells"] == other["mask"]["cells"]).mean(), 0.97)
                            compared += 1
                    self.assertGreater(compared, 10 if kind in common.BOXES else 2)
                    print(f"{mode} {kind}: {compared} compared")

    def test_the_demo_clip(self):
        """In host pages and in HBM: the same candidates, and then the same objects; which of two nearly equal boxes suppresses the other may differ."""
        frames, size = 30, (640, 480)
        clip.make(20261130, frames, size, self.folder / "clip.mp4")
        for mode, colorimetry, upload, factor, offset in (("letterbox", "bt601", "", (2, 2, 2, 2), (0, -80, 0, 0)), ("stretch", "bt709", "! hlupload", (2, 1.5, 2, 1.5), (0, 0, 0, 0))):
            with self.subTest(mode):
                model = described(MODELS / "demo.onnx", self.folder, scale_mode=mode)
                pair = (model, folded(model, size, "--colorimetry", colorimetry))
                source = f"filesrc location={self.folder}/clip.mp4 ! decodebin3 ! videoconvert ! video/x-raw,format=NV12,colorimetry={colorimetry} {upload}"
                buffers = Beside(source, pair, "! hltensordec score-threshold=0.4").run()
                self.assertEqual(len(buffers), frames)
                count, worst = 0, np.zeros(2)
                for both in buffers:
                    ours, theirs = (common.tensors_of(buffer)["yolo-v8-out"][0].astype(float) for buffer in both)
                    clear = ours[4:].max(axis=0) > 0.4
                    boxes = ours[:4] * np.array(factor)[:, None] + np.array(offset)[:, None]
                    worst = np.maximum(worst, [np.abs(boxes - theirs[:4])[:, clear].max(), np.abs(ours - theirs)[4:].max()])
                    ours, theirs = (common.metas_of(buffer)[0] for buffer in both)
                    for wanted, others in itertools.chain(((o, theirs) for o in ours), ((o, ours) for o in theirs)):
                        if wanted["score"] >= 0.5:
                            self.assertEqual(sum(o["label"] == wanted["label"] and overlap(o["box"], wanted["box"]) > 0.8 for o in others), 1, [wanted, others])
                            count += 1
                self.assertGreater(count, 2 * frames)
                self.assertLess(worst[0], 1)
                self.assertLess(worst[1], 0.05)
                print(f"{mode} {colorimetry}: {count} objects found by both, boxes of candidates within {worst[0]:.2f} pixels, scores within {worst[1]:.4f}")


def overlap(one, other):
    """Intersection over union of two boxes x, y, w, h."""
    sides = [max(0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i])) for i in (0, 1)]
    both = sides[0] * sides[1]
    return both / (one[2] * one[3] + other[2] * other[3] - both)


if __name__ == "__main__":
    Gst.init(None)
    unittest.main(argv=sys.argv[:1], verbosity=2)
