#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the recipes that double_test.cpp runs, good ones and damaged ones:  make_test_recipes.py DIRECTORY STAMP

The graph takes y 1x4x6x1 and uv 1x2x3x2, uint8, and gives sums 1x4x6x1 float32 = 2 * y + 1, and uv_out 1x2x3x2 uint8 = uv.
"""
import pathlib
import sys

import onnx
from onnx import TensorProto, helper

from make_recipe import recipe


def model():
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Cast", ["y"], ["y_float"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["y_float", "two"], ["doubled"]),
             helper.make_node("Add", ["doubled", "one"], ["sums"]),
             helper.make_node("Identity", ["uv"], ["uv_out"])]
    graph = helper.make_graph(nodes, "planes",
                              [value("y", TensorProto.UINT8, [1, 4, 6, 1]), value("uv", TensorProto.UINT8, [1, 2, 3, 2])],
                              [value("sums", TensorProto.FLOAT, [1, 4, 6, 1]), value("uv_out", TensorProto.UINT8, [1, 2, 3, 2])],
                              [helper.make_tensor("two", TensorProto.FLOAT, [1], [2]), helper.make_tensor("one", TensorProto.FLOAT, [1], [1])])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    good = recipe(model(), workspace=200000)
    table = [{"name": "y", "input": True, "type": "uint8", "dims": [1, 4, 6, 1]}, {"name": "uv", "input": True, "type": "uint8", "dims": [1, 2, 3, 2]},
             {"name": "sums", "input": False, "type": "float32", "dims": [1, 4, 6, 1]}, {"name": "uv_out", "input": False, "type": "uint8", "dims": [1, 2, 3, 2]}]
    other_size = [dict(row, dims=[1, 4, 7, 1]) if row["name"] == "y" else row for row in table]
    absurd = [dict(row, dims=[1 << 40, 1 << 40]) if row["name"] == "y" else row for row in table]
    files = {
        "good": good,
        "no-workspace": recipe(model(), workspace=0),
        "other-chip": recipe(model(), chip="gaudi3"),
        "other-release": recipe(model(), release=(1, 15)),
        "cut-in-graph": good[:-10],
        "cut-in-description": good[:40],
        "empty": b"",
        "no-recipe": b"\x7fELF" + good,
        "torn-graph": good[:-100] + bytes(100),
        "long-description": good[:8] + b"\xff\xff\xff\xff" + good[12:],
        "no-json": good[:12] + good[12:].replace(b"{", b"[", 1),
        "table-differs": recipe(model(), tensors=other_size),
        "table-short": recipe(model(), tensors=table[:3]),
        "table-absurd": recipe(model(), tensors=absurd),
        "table-empty-row": recipe(model(), tensors=[{}]),
    }
    for name, data in files.items():
        (out / f"{name}.recipe").write_bytes(data)
    pathlib.Path(sys.argv[2]).write_text("".join(f"{name}\n" for name in files), encoding="utf-8")


if __name__ == "__main__":
    main()
