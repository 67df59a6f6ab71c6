#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the generated test models in ONNX Runtime and checks what they compute, and that the descriptions fit.

    test_models.py DIR      (made by make_test_models.py)
"""

import configparser
import json
import os
import sys
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import detect  # noqa: E402
import runtime  # noqa: E402
import scenes  # noqa: E402

FOLDER = sys.argv.pop(1) if len(sys.argv) > 1 else "."
KINDS = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)",
         "int64": "tensor(int64)"}


def describe(path):
    info = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    info.read(path, encoding="utf-8")
    return info


class Descriptions(unittest.TestCase):
    def check(self, path):
        model, info = runtime.session(path), describe(path + ".modelinfo")
        self.assertEqual(info["modelinfo"]["version"], "1.0")
        names = set(info.sections()) - {"modelinfo", "gst-habana"}
        self.assertEqual(names, {t.name for t in model.get_inputs() + model.get_outputs()})
        ids = model.get_modelmeta().custom_metadata_map
        for direction, tensors in (("input", model.get_inputs()), ("output", model.get_outputs())):
            for tensor in tensors:
                section = info[tensor.name]
                self.assertEqual(section["dir"], direction)
                dims = [-1 if isinstance(n, str) else n for n in tensor.shape]     # names: left open
                self.assertEqual([int(n) for n in section["dims"].split(",")], dims)
                self.assertEqual(KINDS[section["type"]], tensor.type)
                self.assertEqual(section.get("id"), ids.get(tensor.name))

    def test_test_models(self):
        found = [name for name in sorted(os.listdir(FOLDER)) if name.endswith(".onnx")]
        self.assertEqual(len(found), 18)
        for name in found:
            with self.subTest(name):
                self.check(os.path.join(FOLDER, name))

    def test_demo(self):
        self.check(os.path.join(HERE, "demo.onnx"))
        self.assertLess(os.path.getsize(os.path.join(HERE, "demo.onnx")), 2_000_000)
        with open(os.path.join(HERE, "demo.labels.txt"), encoding="utf-8") as file:
            self.assertEqual(tuple(file.read().split()), scenes.LABELS)


class Values(unittest.TestCase):
    def load(self, name):
        return runtime.session(os.path.join(FOLDER, name + ".onnx"))

    def test_image_models(self):
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        for kind, dtype in (("u8", np.uint8), ("f16", np.float16), ("f32", np.float32)):
            for layout in ("nchw", "nhwc"):
                with self.subTest(kind=kind, layout=layout):
                    given = pixels if layout == "nhwc" else pixels.transpose(2, 0, 1)
                    means, echo = self.load(f"image-{kind}-{layout}").run(None, {"image": given[None].astype(dtype)})
                    np.testing.assert_allclose(means[0], pixels.mean(axis=(0, 1)), rtol=1e-5)
                    np.testing.assert_array_equal(echo[0], pixels.transpose(2, 0, 1))

    def test_planes(self):
        rng = np.random.default_rng(2)
        y = rng.integers(0, 256, (1, 240, 320, 1)).astype(np.uint8)
        uv = rng.integers(0, 256, (1, 120, 160, 2)).astype(np.uint8)
        means, rows = self.load("planes-nv12").run(None, {"y": y, "uv": uv})
        np.testing.assert_allclose(means[0], [y.mean(), uv[..., 0].mean(), uv[..., 1].mean()], rtol=1e-5)
        np.testing.assert_allclose(rows[0], y.mean(axis=(0, 2, 3)), rtol=1e-5)

    def test_boxes_do_not_depend_on_the_input(self):
        with open(os.path.join(FOLDER, "boxes.json"), encoding="utf-8") as file:
            want = json.load(file)
        model = self.load("boxes")
        for value in (0.0, 0.7):
            (output,) = model.run(None, {"images": np.full((1, 3, 64, 64), value, np.float32)})
            for i, (cx, cy, w, h, label, score) in enumerate(want["boxes"]):
                np.testing.assert_array_equal(output[0, :4, i], np.float32([cx, cy, w, h]))
                self.assertEqual(output[0, 4 + label, i], np.float32(score))
        kept = detect.decode(output, 64, 64, ("alpha", "beta", "gamma"), side=64)
        self.assertEqual([round(box["score"], 4) for box in kept], [want["boxes"][i][5] for i in want["kept"]])

    def test_chains_answer_in_range(self):
        image = np.random.default_rng(3).random((1, 3, 320, 320), np.float32)
        for name in ("tiny", "big"):
            (output,) = self.load(name).run(None, {"images": image})
            self.assertEqual(output.shape, (1, 84, 400))
            self.assertGreater(output.std(), 0)
            self.assertLess(output[:, 4:].max(), 0.5)


if __name__ == "__main__":
    unittest.main()
