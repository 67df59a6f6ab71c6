#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the small models of the tests and the benchmark, each with its .modelinfo.

    make_test_models.py DIR

Weights are random with a fixed seed; what each model computes is said at its
function. Needs numpy and onnx. Made at build time, never committed.
"""

import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8     # old enough for every ONNX Runtime in use
TYPES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8",
         TensorProto.INT64: "int64"}
SHORT = {TensorProto.FLOAT: "f32", TensorProto.FLOAT16: "f16", TensorProto.UINT8: "u8"}


def dims_text(dims):
    """Of a .modelinfo; a dimension with a name is open."""
    return ",".join("-1" if isinstance(d, str) else str(d) for d in dims)


class Graph:
    """Collects nodes and constants, then writes the model and its description."""

    def __init__(self, name):
        self.name, self.nodes, self.constants, self.inputs, self.outputs = name, [], [], [], []
        self.macs = 0

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def input(self, name, dims, dtype=TensorProto.FLOAT, ranges=None):
        self.inputs.append((name, dims, dtype, ranges))
        return name

    def output(self, name, dims, dtype=TensorProto.FLOAT, tensor_id=None):
        self.outputs.append((name, dims, dtype, tensor_id))

    def write(self, folder, ours):
        """`ours`: lines of the section [gst-habana]."""
        graph = helper.make_graph(
            self.nodes, self.name,
            [helper.make_tensor_value_info(n, t, d) for n, d, t, _ in self.inputs],
            [helper.make_tensor_value_info(n, t, d) for n, d, t, _ in self.outputs], self.constants)
        model = helper.make_model(graph, producer_name="gst-habana", opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        ids = {n: tensor_id for n, _, _, tensor_id in self.outputs if tensor_id}
        if ids:
            helper.set_model_props(model, ids)     # where GStreamer 1.26's onnxinference looks for them
        onnx.checker.check_model(model, full_check=True)
        path = os.path.join(folder, self.name + ".onnx")
        onnx.save(model, path)
        with open(path + ".modelinfo", "w", encoding="utf-8") as file:
            file.write("\n".join(self._description(ours)) + "\n")

    def _description(self, ours):
        groups = [tensor_id for *_, tensor_id in self.outputs if tensor_id]
        lines = ["[modelinfo]", "version=1.0", *(f"group-id={group}" for group in groups[:1])]
        for name, dims, dtype, ranges in self.inputs:
            lines += ["", f"[{name}]", "dir=input", f"type={TYPES[dtype]}", f"dims={dims_text(dims)}",
                      "dims-order=row-major"]
            if ranges:
                lines.append("ranges=" + ";".join(f"{low},{high}" for low, high in ranges))
        for name, dims, dtype, tensor_id in self.outputs:
            lines += ["", f"[{name}]", "dir=output", *([f"id={tensor_id}"] if tensor_id else []),
                      f"type={TYPES[dtype]}", f"dims={dims_text(dims)}", "dims-order=row-major"]
        return lines + (["", "[gst-habana]", *ours] if ours else [])


UNIT = [(0.0, 1.0)] * 3
BYTE = [(0.0, 255.0)] * 3


def convolutions(folder, name, layers):
    """A chain of convolutions, 1x3x320x320 to 1x84x400; layers: (channels out, kernel, stride), the last without ReLU.

    The output is laid out like YOLOv8's with 80 classes, and small: no score reaches 0.5.
    """
    rng = np.random.default_rng(1)
    graph = Graph(name)
    at, channels, side = graph.input("images", [1, 3, 320, 320], ranges=UNIT), 3, 320
    for i, (wide, kernel, stride) in enumerate(layers):
        last = i == len(layers) - 1
        spread = 1e-3 if last else np.sqrt(2 / (channels * kernel * kernel))
        weights = rng.normal(0, spread, (wide, channels, kernel, kernel)).astype(np.float32)
        pad = 1 if kernel == 3 else 0
        side = (side + 2 * pad - kernel) // stride + 1
        at = graph.add("Conv", [at, graph.constant(f"w{i}", weights), graph.constant(f"b{i}", np.zeros(wide, np.float32))],
                       f"conv{i}", kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4)
        graph.macs += side * side * wide * channels * kernel * kernel
        if not last:
            at = graph.add("Relu", [at], f"relu{i}")
        channels = wide
    assert (channels, side) == (84, 20)
    graph.add("Reshape", [at, graph.constant("shape", np.array([1, 84, 400], np.int64))], "output0")
    graph.output("output0", [1, 84, 400], tensor_id="yolo-v8-out")
    graph.write(folder, ["scale-mode=stretch", "colour=RGB"])
    print(f"{name}: {2 * graph.macs / 1e6:.1f} MFLOP")


def tiny(folder):
    convolutions(folder, "tiny", [(7, 4, 4), (12, 2, 2), (16, 2, 2), (84, 1, 1)])


def big(folder):
    convolutions(folder, "big", [(16, 3, 2), (32, 3, 2), (32, 3, 1), (64, 3, 2), (64, 3, 1), (112, 3, 2),
                                 (112, 1, 1), (84, 1, 1)])


def planes_nv12(folder, height=240, width=320):
    """Raw planes. `means` 1x3: mean Y, U and V, 0..255; `rows` 1xH: mean Y of each row (a wrong stride shows)."""
    graph = Graph("planes-nv12")
    luma = graph.input("y", [1, height, width, 1], TensorProto.UINT8)
    chroma = graph.input("uv", [1, height // 2, width // 2, 2], TensorProto.UINT8)
    graph.add("Cast", [luma], "yf", to=TensorProto.FLOAT)
    graph.add("Cast", [chroma], "uvf", to=TensorProto.FLOAT)
    graph.add("ReduceMean", ["yf"], "ym", axes=[1, 2], keepdims=0)
    graph.add("ReduceMean", ["uvf"], "uvm", axes=[1, 2], keepdims=0)
    graph.add("Concat", ["ym", "uvm"], "means", axis=1)
    graph.add("ReduceMean", ["yf"], "rows", axes=[2, 3], keepdims=0)
    graph.output("means", [1, 3])
    graph.output("rows", [1, height])
    graph.write(folder, ["planes=nv12"])


def image(folder, dtype, layout, height=48, width=64):
    """`means` 1x3: each channel's mean as it came in; `echo` 1x3xHxW float32: the image itself, always NCHW."""
    graph = Graph(f"image-{SHORT[dtype]}-{layout}")
    dims = [1, 3, height, width] if layout == "nchw" else [1, height, width, 3]
    at = graph.input("image", dims, dtype, BYTE if dtype == TensorProto.UINT8 else UNIT)
    if dtype != TensorProto.FLOAT:
        at = graph.add("Cast", [at], "float", to=TensorProto.FLOAT)
    if layout == "nhwc":
        graph.add("Transpose", [at], "echo", perm=[0, 3, 1, 2])
    else:
        graph.add("Identity", [at], "echo")
    graph.add("ReduceMean", ["echo"], "means", axes=[2, 3], keepdims=0)
    graph.output("means", [1, 3])
    graph.output("echo", [1, 3, height, width])
    graph.write(folder, ["scale-mode=stretch", "colour=RGB"])


# cx, cy, w, h in pixels of the 64x64 input, class, score. What a decoder must leave of them at score 0.5 and IoU 0.5:
BOXES = [
    (16, 16, 16, 16, 0, 0.9),      # kept
    (18, 16, 16, 16, 0, 0.8),      # IoU 0.78 with the first, same class: suppressed
    (18, 16, 16, 16, 1, 0.7),      # same place, other class: kept
    (48, 16, 8, 24, 2, 0.95),      # kept
    (48, 48, 16, 16, 0, 0.45),     # below the score: dropped
    (60, 60, 16, 16, 1, 0.6),      # reaches over the edge: kept, clipped to the frame
    (16, 48, 20, 10, 2, 0.55),     # kept
    (0, 0, 0, 0, 0, 0.0),
]
KEPT = (3, 0, 2, 5, 6)             # by falling score


def boxes(folder):
    """`output0` 1x7xN holds BOXES whatever the input (three classes)."""
    rows = np.zeros((1, 7, len(BOXES)), np.float32)
    for i, (cx, cy, w, h, label, score) in enumerate(BOXES):
        rows[0, :4, i] = cx, cy, w, h
        rows[0, 4 + label, i] = score
    graph = Graph("boxes")
    graph.input("images", [1, 3, 64, 64], ranges=UNIT)
    graph.add("ReduceMean", ["images"], "mean", axes=[1, 2, 3], keepdims=0)
    graph.add("Mul", ["mean", graph.constant("zero", np.zeros(1, np.float32))], "nothing")
    graph.add("Add", [graph.constant("boxes", rows), "nothing"], "output0")
    graph.output("output0", list(rows.shape), tensor_id="yolo-v8-out")
    graph.write(folder, ["scale-mode=letterbox", "pad-value=114", "colour=RGB", "labels=boxes.labels.txt"])
    with open(os.path.join(folder, "boxes.labels.txt"), "w", encoding="utf-8") as file:
        file.write("alpha\nbeta\ngamma\n")
    with open(os.path.join(folder, "short.labels.txt"), "w", encoding="utf-8") as file:
        file.write("alpha\n")
    with open(os.path.join(folder, "boxes.json"), "w", encoding="utf-8") as file:
        json.dump({"boxes": BOXES, "kept": KEPT}, file)


def rank2(folder):
    """An input that is no image: 1x16."""
    graph = Graph("rank2")
    graph.input("vector", [1, 16])
    graph.add("Relu", ["vector"], "positive")
    graph.output("positive", [1, 16])
    graph.write(folder, [])


def float16(folder):
    """float16 in, float16 out: `means` 1x3."""
    graph = Graph("float16")
    graph.input("image", [1, 3, 32, 32], TensorProto.FLOAT16, UNIT)
    graph.add("GlobalAveragePool", ["image"], "pooled")
    graph.add("Reshape", ["pooled", graph.constant("shape", np.array([1, 3], np.int64))], "means")
    graph.output("means", [1, 3], TensorProto.FLOAT16)
    graph.write(folder, ["scale-mode=stretch", "colour=RGB"])


def dynamic(folder):
    """Batch and size left open; `means` Nx3."""
    graph = Graph("dynamic")
    graph.input("image", ["n", 3, "h", "w"], ranges=UNIT)
    graph.add("ReduceMean", ["image"], "means", axes=[2, 3], keepdims=0)
    graph.output("means", ["n", 3], tensor_id="channel-means")
    graph.write(folder, ["scale-mode=stretch"])


def selects(folder):
    """`bright` 4xK: places of the samples above zero, as many as there are."""
    graph = Graph("selects")
    graph.input("image", [1, 3, 8, 8], ranges=UNIT)
    graph.add("NonZero", ["image"], "bright")
    graph.output("bright", [4, "k"], TensorProto.INT64, tensor_id="bright-places")
    graph.write(folder, ["scale-mode=stretch"])


def rank3(folder):
    """An image without a batch: 3x32x32."""
    graph = Graph("rank3")
    graph.input("image", [3, 32, 32], ranges=UNIT)
    graph.add("ReduceMean", ["image"], "means", axes=[1, 2], keepdims=0)
    graph.output("means", [3], tensor_id="channel-means")
    graph.write(folder, ["scale-mode=stretch"])


def main():
    if len(sys.argv) != 2:
        print("usage: make_test_models.py DIR", file=sys.stderr)
        return 2
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    tiny(folder)
    big(folder)
    planes_nv12(folder)
    for dtype in SHORT:
        for layout in ("nchw", "nhwc"):
            image(folder, dtype, layout)
    boxes(folder)
    rank2(folder)
    float16(folder)
    dynamic(folder)
    selects(folder)
    rank3(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
