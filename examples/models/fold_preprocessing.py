#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Folds the preprocessing of a detector into the model, so that it eats the raw planes of NV12 frames of one size, as a model for a Gaudi must.

    fold_planes.py MODEL.onnx OUT.onnx --size 640x480

MODEL takes one float32 image 1x3xSxS, RGB, 0..1, letterboxed with grey 114, and gives one tensor 1 x (4 + classes) x N with the boxes in its pixels (id yolo-v8-out). OUT takes `y` 1xHxWx1 and
`uv` 1x(H/2)x(W/2)x2, uint8, and gives the boxes in pixels of the frame; OUT.onnx.modelinfo is written beside it, without labels. YUV is read as BT.601, limited range. Needs numpy and onnx.
"""
import argparse
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GREY = 114 / 255
# Pixels 0..1 from Y, U, V 0..255: BT.601, limited range (ITU-R BT.601-7, section 2.5).
KR, KB = 0.299, 0.114
KG = 1 - KR - KB
LUMA, CHROMA = 1 / 219, 1 / 224
TO_RGB = np.array([[LUMA, 0, 2 * (1 - KR) * CHROMA],
                   [LUMA, -2 * (1 - KB) * KB / KG * CHROMA, -2 * (1 - KR) * KR / KG * CHROMA],
                   [LUMA, 2 * (1 - KB) * CHROMA, 0]])
ZERO = np.array([16, 128, 128])


def letterbox(width, height, side):
    """(scale, inner width, inner height, left, top) of a frame fitted into a square."""
    scale = side / max(width, height)
    inner = [max(1, round(length * scale)) for length in (width, height)]
    return scale, *inner, (side - inner[0]) // 2, (side - inner[1]) // 2


class Folder:
    """Adds nodes and constants around a graph."""

    def __init__(self, graph):
        self.graph, self.before, self.after = graph, [], []

    def constant(self, name, values, dtype=np.float32):
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def planes_to_image(self, width, height, side, image):
        """`y` and `uv` to the tensor `image`."""
        _, w, h, left, top = letterbox(width, height, side)
        add = lambda op, inputs, output, **attributes: self.before.append(helper.make_node(op, inputs, [output], **attributes))  # noqa: E731
        for plane, channels in (("y", 1), ("uv", 2)):
            add("Cast", [plane], f"{plane}_float", to=TensorProto.FLOAT)
            add("Transpose", [f"{plane}_float"], f"{plane}_nchw", perm=[0, 3, 1, 2])
            sizes = self.constant(f"{plane}_sizes", [1, channels, h, w], np.int64)
            add("Resize", [f"{plane}_nchw", "", "", sizes], f"{plane}_small", mode="linear", coordinate_transformation_mode="half_pixel")
        add("Concat", ["y_small", "uv_small"], "yuv", axis=1)
        matrix = self.constant("to_rgb", TO_RGB.reshape(3, 3, 1, 1))
        add("Conv", ["yuv", matrix, self.constant("to_rgb_zero", -TO_RGB @ ZERO)], "rgb")
        add("Clip", ["rgb", self.constant("black", 0), self.constant("white", 1)], "rgb_clipped")
        pads = self.constant("pads", [0, 0, top, left, 0, 0, side - h - top, side - w - left], np.int64)
        add("Pad", ["rgb_clipped", pads, self.constant("grey", GREY)], image, mode="constant")

    def boxes_to_frame(self, width, height, side, rows, boxes, output):
        """`boxes`, in pixels of the square, to `output`, in pixels of the frame."""
        scale, _, _, left, top = letterbox(width, height, side)
        factors, offsets = np.ones((1, rows, 1)), np.zeros((1, rows, 1))
        factors[0, :4, 0] = 1 / scale
        offsets[0, :2, 0] = -left / scale, -top / scale
        self.after.append(helper.make_node("Mul", [boxes, self.constant("box_factors", factors)], ["boxes_scaled"]))
        self.after.append(helper.make_node("Add", ["boxes_scaled", self.constant("box_offsets", offsets)], [output]))


def fold(model, width, height):
    """Changes `model` in place; returns its output's name and dimensions. ValueError: it is no model of this kind."""
    graph = model.graph
    dims = lambda value: [d.dim_value for d in value.type.tensor_type.shape.dim]  # noqa: E731
    image, output = graph.input[0], graph.output[0]
    shape, rows = dims(image), dims(output)
    if len(graph.input) != 1 or len(graph.output) != 1 or len(shape) != 4 or shape[:2] != [1, 3] or shape[2] != shape[3] or shape[2] < 1 or len(rows) != 3:
        raise ValueError(f"it takes {shape} and gives {rows}; 1x3xSxS and 1x(4+classes)xN were expected")
    if width % 2 or height % 2:
        raise ValueError(f"{width}x{height}: both must be even")
    folder = Folder(graph)
    folder.planes_to_image(width, height, shape[2], image.name)
    for node in graph.node:
        node.output[:] = ["boxes_in_square" if name == output.name else name for name in node.output]
        node.input[:] = ["boxes_in_square" if name == output.name else name for name in node.input]
    folder.boxes_to_frame(width, height, shape[2], rows[1], "boxes_in_square", output.name)
    network = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*folder.before, *network, *folder.after])
    graph.input.extend([helper.make_tensor_value_info("y", TensorProto.UINT8, [1, height, width, 1]),
                        helper.make_tensor_value_info("uv", TensorProto.UINT8, [1, height // 2, width // 2, 2])])
    onnx.checker.check_model(model, full_check=True)
    return output.name, rows


def description(width, height, output, rows):
    """The text of the .modelinfo."""
    tensor = "[{}]\ndir={}\n{}type={}\ndims={}\ndims-order=row-major\n".format
    return "\n".join(["[modelinfo]\nversion=1.0\ngroup-id=yolo-v8-out\n",
                      tensor("y", "input", "", "uint8", f"1,{height},{width},1"),
                      tensor("uv", "input", "", "uint8", f"1,{height // 2},{width // 2},2"),
                      tensor(output, "output", "id=yolo-v8-out\n", "float32", ",".join(map(str, rows))),
                      "[gst-habana]\nplanes=nv12\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--size", required=True, metavar="WxH", help="of the frames")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    model = onnx.load(options.model)
    try:
        output, rows = fold(model, width, height)
    except ValueError as error:
        return f"fold_planes.py: {options.model} cannot be folded: {error}"
    onnx.save(model, options.out)
    with open(options.out + ".modelinfo", "w", encoding="utf-8") as file:
        file.write(description(width, height, output, rows))
    return None


if __name__ == "__main__":
    sys.exit(main())
