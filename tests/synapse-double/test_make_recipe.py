#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make_recipe.py: what it writes of a graph, of a folded model as examples/models/fold_preprocessing.py makes it, and what it refuses.  test_make_recipe.py EXAMPLES"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

import onnx
from onnx import TensorProto, helper

import make_test_recipes

HERE = pathlib.Path(__file__).parent
EXAMPLES = pathlib.Path(sys.argv.pop(1))


def read(path):
    """(the description, the graph) of a recipe."""
    data = path.read_bytes()
    assert data[:8] == b"SYNDBL1\n"
    length, = struct.unpack("<I", data[8:12])
    return json.loads(data[12:12 + length]), data[12 + length:]


class MakeRecipe(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.model, self.out = pathlib.Path(directory.name, "model.onnx"), pathlib.Path(directory.name, "model.recipe")

    def make(self, *options):
        return subprocess.run([sys.executable, HERE / "make_recipe.py", self.model, self.out, *options], capture_output=True, text=True, check=False)

    def test_table_is_the_graphs(self):
        onnx.save(make_test_recipes.model(), self.model)
        self.assertEqual(self.make("--chip", "gaudi3", "--release", "1.19", "--workspace", "4096").returncode, 0)
        description, graph = read(self.out)
        self.assertEqual(graph, self.model.read_bytes())
        self.assertEqual(description, {
            "release": [1, 19], "chip": "gaudi3", "workspace": 4096, "onnx": len(graph),
            "tensors": [{"name": "y", "input": True, "type": "uint8", "dims": [1, 4, 6, 1]}, {"name": "uv", "input": True, "type": "uint8", "dims": [1, 2, 3, 2]},
                        {"name": "sums", "input": False, "type": "float32", "dims": [1, 4, 6, 1]}, {"name": "uv_out", "input": False, "type": "uint8", "dims": [1, 2, 3, 2]}]})
        self.assertFalse(pathlib.Path(f"{self.out}.modelinfo").exists())

    def test_of_a_folded_model(self):
        subprocess.run([sys.executable, EXAMPLES / "models/fold_preprocessing.py", EXAMPLES / "models/demo.onnx", self.model, "--size", "64x48"], check=True, capture_output=True)
        self.assertEqual(self.make().returncode, 0)
        description, _ = read(self.out)
        inputs = {t["name"]: t["dims"] for t in description["tensors"] if t["input"]}
        self.assertEqual(inputs, {"frame:y": [1, 48, 64, 1], "frame:uv": [1, 24, 32, 2]})
        self.assertEqual(pathlib.Path(f"{self.out}.modelinfo").read_text(encoding="utf-8"), pathlib.Path(f"{self.model}.modelinfo").read_text(encoding="utf-8"))

    def test_what_a_gaudi_has_not_is_refused(self):
        value = helper.make_tensor_value_info
        for name, kind, dims in ("open", TensorProto.FLOAT, ["n", 3]), ("wide", TensorProto.DOUBLE, [1]), ("scalar", TensorProto.FLOAT, []):
            with self.subTest(name):
                onnx.save(helper.make_model(helper.make_graph([helper.make_node("Identity", [name], ["out"])], "g", [value(name, kind, dims)], [value("out", kind, dims)])), self.model)
                done = self.make()
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"{self.model}: {name}: type {kind}", done.stderr)
                self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
