#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes models that a user may meet and that must be refused, or loaded with care.

    make_hostile_models.py DIR

Each takes `image`, 1x3x8x8 float32. Needs numpy and onnx.
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8     # old enough for every ONNX Runtime in use
IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])


def model(nodes, outputs, constants=()):
    """The model, not looked at: checker and ONNX Runtime differ in what they refuse."""
    constants = [numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "hostile", [IMAGE], outputs, constants)
    made = helper.make_model(graph, producer_name="gst-habana", opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = IR_VERSION
    helper.set_model_props(made, {outputs[0].name: "something"})
    return made


def means(dims=(1, 3)):
    return [helper.make_node("ReduceMean", ["image"], ["raw"], axes=[2, 3], keepdims=0)], \
        helper.make_tensor_value_info("means", TensorProto.FLOAT, list(dims))


def external(folder):
    """`means` 1x3: 16 times each channel's mean, plus 1, 2 and 3. Its weights lie in external.data."""
    nodes, output = means()
    nodes += [helper.make_node("MatMul", ["raw", "weights"], ["scaled"]),
              helper.make_node("Add", ["scaled", "bias"], ["means"])]
    made = model(nodes, [output], [("weights", (16 * np.eye(3)).astype(np.float32)),
                                   ("bias", np.array([1, 2, 3], np.float32))])
    data = os.path.join(folder, "external.data")
    if os.path.exists(data):
        os.remove(data)                     # it is appended to
    onnx.save(made, os.path.join(folder, "external.onnx"), save_as_external_data=True, location="external.data",
              size_threshold=0, convert_attribute=False)


def save(folder, name, made):
    onnx.save(made, os.path.join(folder, name + ".onnx"))


def strings(folder):
    """`word`: a tensor of strings."""
    constant = helper.make_node("Constant", [], ["word"],
                                value=helper.make_tensor("value", TensorProto.STRING, [1], [b"bird"]))
    save(folder, "strings", model([constant], [helper.make_tensor_value_info("word", TensorProto.STRING, [1])]))


def sequence(folder):
    """`parts`: a sequence of tensors."""
    split = helper.make_node("SplitToSequence", ["image"], ["parts"], axis=1)
    save(folder, "sequence", model([split], [helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT,
                                                                                    [1, 1, 8, 8])]))


def vast(folder):
    """`means` 1x3x(2^33): 96 GiB, as it says."""
    nodes, output = means((1, 3, 1 << 33))
    nodes += [helper.make_node("Unsqueeze", ["raw", "axis"], ["flat"]),
              helper.make_node("Expand", ["flat", "dims"], ["means"])]
    save(folder, "vast", model(nodes, [output], [("axis", np.array([2], np.int64)),
                                                 ("dims", np.array([1, 3, 1 << 33], np.int64))]))


def overflow(folder):
    """`means` (2^31)x(2^31)x3: 3 * 2^62 elements, as it says."""
    dims = (1 << 31, 1 << 31, 3)
    nodes, output = means(dims)
    nodes += [helper.make_node("Expand", ["raw", "dims"], ["means"])]
    save(folder, "overflow", model(nodes, [output], [("dims", np.array(dims, np.int64))]))


def folds(folder):
    """`means` 1x3 plus the sum of 2^44 zeros, which ONNX Runtime would compute when it loads the model."""
    nodes, output = means()
    nodes += [helper.make_node("ConstantOfShape", ["dims"], ["zeros"]),
              helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
              helper.make_node("Add", ["raw", "zero"], ["means"])]
    save(folder, "folds", model(nodes, [output], [("dims", np.array([1 << 22, 1 << 22], np.int64))]))


def many(folder):
    """50 outputs of 768 MiB, each of which might be taken alone."""
    dims = (1, 3, 1 << 26)
    nodes, _ = means()
    nodes += [helper.make_node("Unsqueeze", ["raw", "axis"], ["flat"])]
    nodes += [helper.make_node("Expand", ["flat", "dims"], [f"out{i}"]) for i in range(50)]
    outputs = [helper.make_tensor_value_info(f"out{i}", TensorProto.FLOAT, dims) for i in range(50)]
    save(folder, "many", model(nodes, outputs, [("axis", np.array([2], np.int64)),
                                                ("dims", np.array(dims, np.int64))]))


def names(folder):
    """`means` 1x3 of `image`, whose names and id hold what steers a terminal; one has 10000 bytes."""
    image, output = "image\x1b[2J", "means\x1b[2J" + 10000 * "x"
    nodes = [helper.make_node("ReduceMean", [image], [output], axes=[2, 3], keepdims=0)]
    made = model(nodes, [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3])])
    made.graph.input[0].name = image
    made.metadata_props[0].value = "some\x1bthing"
    save(folder, "names", made)


def sizes(folder):
    """Inputs and weights of absurd sizes."""
    for name, dims in (("input-huge", [1, 3, 1 << 40, 1 << 40]), ("input-zero", [1, 3, 0, 8]),
                       ("input-negative", [1, 3, -8, 8]), ("input-wide", [1, 3, 8, 1 << 20])):
        nodes, output = means()
        nodes += [helper.make_node("Identity", ["raw"], ["means"])]
        made = model(nodes, [output])
        made.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, dims))
        save(folder, name, made)
    for name, dims in (("weight-huge", [1 << 40, 1 << 40]), ("weight-negative", [-3, 3]), ("weight-short", [3, 300])):
        nodes, output = means()
        nodes += [helper.make_node("MatMul", ["raw", "weights"], ["means"])]
        made = model(nodes, [output], [("weights", np.eye(3, dtype=np.float32))])
        made.graph.initializer[0].ClearField("dims")
        made.graph.initializer[0].dims.extend(dims)
        save(folder, name, made)


def main():
    if len(sys.argv) != 2:
        print("usage: make_hostile_models.py DIR", file=sys.stderr)
        return 2
    for make in (external, strings, sequence, vast, overflow, folds, many, names, sizes):
        make(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
