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
SSD_IDS = [f"ssd-mobilenet-v1-variant-1-out-{part}" for part in ("boxes", "scores", "classes")] + ["generic-variant-1-out-count"]
SEG_IDS = ["yolo-v8-segmentation-out-detections", "yolo-v8-segmentation-out-protos"]
SORTS = ("even", "ties", "crowded", "not finite", "all", "none")      # of random tensors in the model bank


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


def endless(folder):
    """`turned` 1: an image that is not black is worked on without end, a black one not at all."""
    value = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["value"], ["next"])], "turn",
                             [value("turn", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("value", TensorProto.FLOAT, [1])],
                             [value("on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [1])])
    graph = Graph("endless")
    graph.input("image", [1, 3, 32, 32], ranges=UNIT)
    graph.add("ReduceMax", ["image"], "brightest", keepdims=0)
    graph.add("Mul", ["brightest", graph.constant("many", np.array(1e18, np.float32))], "wanted")
    graph.add("Cast", ["wanted"], "turns", to=TensorProto.INT64)
    graph.add("Loop", ["turns", graph.constant("start", np.array(True)), graph.constant("first", np.ones(1, np.float32))], "turned", body=body)
    graph.output("turned", [1])
    graph.write(folder, ["scale-mode=stretch"])


def random_boxes(rng, sort, count, side):
    """count x 4 centre x, centre y, width, height; crowded ones are nearly the same few, ties the very same."""
    boxes = np.concatenate([rng.uniform(-8, side + 8, (count, 2)), rng.uniform(1, side / 3, (count, 2))], axis=1)
    if sort == "crowded":
        boxes = boxes[rng.integers(0, 12, count)] + rng.normal(0, 1.5, (count, 4))
    if sort == "ties":
        boxes = boxes[rng.integers(0, count // 4, count)]     # no lattice: an IoU of just the threshold would be luck
    return boxes


def random_scores(rng, sort, shape):
    low, high = {"all": (0.6, 1), "none": (0, 0.2)}.get(sort, (0, 1))
    scores = rng.uniform(low, high, shape) ** (1 if sort in ("all", "none") else 4)
    return np.round(scores * 10) / 10 if sort == "ties" else scores


def spoiled(rng, sort, array):
    """float32, with one value in a hundred (of few: in ten) NaN or infinite where the sort says so."""
    array = array.astype(np.float32)
    if sort == "not finite":
        bad = rng.random(array.shape) < (0.01 if array.size > 1000 else 0.1)
        array[bad] = rng.choice(np.array([np.nan, np.inf, -np.inf], np.float32), int(bad.sum()))
    return array


def random_tensors(rng, sort, side):
    """One of each that hltensordec decodes, by id; 6 classes."""
    count, classes, masks, cells = 500, 6, 8, side // 4
    corners = np.sort(rng.uniform(-0.1, 1.1, (2, 1, 60, 2)), axis=0)
    tensors = {
        "yolo-v8-out": np.concatenate([random_boxes(rng, sort, count, side), random_scores(rng, sort, (count, classes))], 1).T[None],
        "yolo-v5-out": np.concatenate([random_boxes(rng, sort, count, side), random_scores(rng, sort, (count, 1)) ** 0.2,
                                       random_scores(rng, sort, (count, classes))], 1)[None],
        SSD_IDS[0]: np.concatenate([corners[0], corners[1]], axis=2),
        SSD_IDS[1]: random_scores(rng, sort, (1, 60)),
        SSD_IDS[2]: rng.integers(0, classes, (1, 60)),
        SSD_IDS[3]: np.array([55.0]),
        "classification-generic-out": rng.normal(0, 3, (1, classes)),
        "classification-generic-softmaxed-out": random_scores(rng, sort, (1, classes)),
        SEG_IDS[0]: np.concatenate([random_boxes(rng, sort, count, side), random_scores(rng, sort, (count, classes)),
                                    rng.normal(0, 1, (count, masks))], 1).T[None],
        SEG_IDS[1]: rng.normal(0, 1, (1, masks, cells, cells)),
    }
    # One bad count drops everything, and few bad prototypes drop most objects: the unit tests have those.
    whole = (SSD_IDS[3], SEG_IDS[1])
    return {name: spoiled(rng, "even" if name in whole else sort, value) for name, value in tensors.items()}


def bank(folder, side=64):
    """A frame whose samples are all k gives the k-th of SORTS' random tensors, of every kind that hltensordec decodes."""
    rng = np.random.default_rng(5)
    sets = [random_tensors(rng, sort, side) for sort in SORTS]
    graph = Graph("bank")
    graph.input("image", [1, 3, side, side], TensorProto.UINT8, BYTE)
    middle = [graph.constant("from", np.array([0, 0, side // 2, side // 2], np.int64)),
              graph.constant("to", np.array([1, 1, side // 2 + 1, side // 2 + 1], np.int64))]
    graph.add("Slice", ["image", *middle], "sample")
    graph.add("Cast", ["sample"], "number", to=TensorProto.INT64)
    graph.add("Reshape", ["number", graph.constant("scalar", np.array([], np.int64))], "k")
    for i, name in enumerate(sets[0]):
        graph.add("Gather", [graph.constant(f"all{i}", np.stack([tensors[name] for tensors in sets])), "k"], f"output{i}", axis=0)
        graph.output(f"output{i}", list(sets[0][name].shape), tensor_id=name)
    graph.write(folder, ["scale-mode=letterbox", "pad-value=0", "colour=RGB"])


def heads(folder, side=64):
    """Networks' heads of every kind that hltensordec decodes, on random convolutions over the image; 3 classes."""
    rng = np.random.default_rng(6)
    graph = Graph("heads")

    def conv(at, name, channels, wide, kernel, spread=2.0):
        weights = rng.normal(0, np.sqrt(spread / (channels * kernel * kernel)), (wide, channels, kernel, kernel))
        return graph.add("Conv", [at, graph.constant(f"w-{name}", weights.astype(np.float32))], name,
                         kernel_shape=[kernel, kernel], strides=[kernel, kernel])

    def scaled(at, name, factors, shape):
        """The sigmoid of a head as 1 x channels x 64, by channel times a factor; then of another shape."""
        graph.add("Reshape", [at, graph.constant(f"{name}-flat", np.array([1, -1, 64], np.int64))], f"{name}-rows")
        graph.add("Sigmoid", [f"{name}-rows"], f"{name}-parts")
        by = graph.constant(f"{name}-by", np.array(factors, np.float32).reshape(1, -1, 1))
        return graph.add("Mul", [f"{name}-parts", by], shape)

    image = graph.input("image", [1, 3, side, side], ranges=UNIT)
    wide = graph.add("Relu", [conv(image, "stem", 3, 16, 4, 16)], "wide")               # 16 x 16
    deep = graph.add("Relu", [conv(wide, "body", 16, 32, 2)], "deep")                    # 8 x 8
    box = [side, side, side / 2, side / 2]
    scaled(conv(deep, "head8", 32, 7, 1, 8), "v8", box + [1] * 3, "yolov8")
    graph.output("yolov8", [1, 7, 64], tensor_id="yolo-v8-out")
    graph.add("Transpose", [scaled(conv(deep, "head5", 32, 8, 1, 8), "v5", box + [1] * 4, "rows5")], "yolov5", perm=[0, 2, 1])
    graph.output("yolov5", [1, 64, 8], tensor_id="yolo-v5-out")

    detections = scaled(conv(deep, "head-seg", 32, 7, 1, 8), "seg", box + [1] * 3, "boxes-seg")
    graph.add("Reshape", [conv(deep, "masks", 32, 4, 1), "v8-flat"], "coefficients")
    graph.add("Concat", [detections, "coefficients"], "segments", axis=1)
    graph.output("segments", [1, 11, 64], tensor_id=SEG_IDS[0])
    conv(wide, "prototypes", 16, 4, 1)
    graph.output("prototypes", [1, 4, side // 4, side // 4], tensor_id=SEG_IDS[1])

    # The 20 best of 64, as TensorFlow's post-processing leaves them.
    graph.add("Split", [scaled(conv(deep, "head-ssd", 32, 6, 1, 8), "ssd", [0.6] * 4 + [1, 3], "ssd-scaled"),
                        graph.constant("ssd-parts-of", np.array([2, 2, 1, 1], np.int64))],
              "ssd-start", axis=1)
    graph.nodes[-1].output.extend(["ssd-extent", "ssd-score", "ssd-class"])
    graph.add("Add", ["ssd-start", "ssd-extent"], "ssd-end")
    graph.add("Concat", ["ssd-start", "ssd-end", "ssd-class"], "ssd-values", axis=1)
    graph.add("Reshape", ["ssd-score", graph.constant("row", np.array([1, 64], np.int64))], "ssd-scores")
    graph.add("TopK", ["ssd-scores", graph.constant("best", np.array([20], np.int64))], "scores", axis=1)
    graph.nodes[-1].output.append("places")
    graph.add("Reshape", ["places", graph.constant("line", np.array([20], np.int64))], "picked")
    graph.add("Gather", ["ssd-values", "picked"], "ssd-best", axis=2)
    graph.add("Transpose", ["ssd-best"], "ssd-boxes", perm=[0, 2, 1])
    graph.add("Split", ["ssd-boxes", graph.constant("four", np.array([4, 1], np.int64))], "boxes", axis=2)
    graph.nodes[-1].output.append("classes-real")
    graph.add("Floor", ["classes-real"], "classes-whole")
    graph.add("Reshape", ["classes-whole", graph.constant("row20", np.array([1, 20], np.int64))], "classes")
    graph.add("ReduceMax", ["picked"], "last", axes=[0], keepdims=1)
    graph.add("Cast", ["last"], "last-real", to=TensorProto.FLOAT)
    graph.add("Mul", ["last-real", graph.constant("third", np.array([0.3], np.float32))], "count")
    for name, dims, tensor_id in zip(("boxes", "scores", "classes", "count"), ([1, 20, 4], [1, 20], [1, 20], [1]), SSD_IDS):
        graph.output(name, dims, tensor_id=tensor_id)

    graph.add("GlobalAveragePool", ["deep"], "pooled")
    graph.add("Flatten", ["pooled"], "features")
    graph.add("MatMul", ["features", graph.constant("w-classes", rng.normal(0, 1, (32, 3)).astype(np.float32))], "logits")
    graph.output("logits", [1, 3], tensor_id="classification-generic-out")
    graph.add("Softmax", ["logits"], "probabilities", axis=1)
    graph.output("probabilities", [1, 3], tensor_id="classification-generic-softmaxed-out")
    graph.write(folder, ["scale-mode=letterbox", "pad-value=114", "colour=RGB", "labels=boxes.labels.txt"])


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
    endless(folder)
    bank(folder)
    heads(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
