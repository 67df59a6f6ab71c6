#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a recipe of the SynapseAI double (recipe.h) of an ONNX graph, in the place of the compiler that nobody here has.

    make_recipe.py MODEL.onnx OUT.recipe [--chip gaudi2] [--release 1.21] [--workspace BYTES]

Every input and output of the graph becomes a persistent tensor with its name; all dimensions have to be fixed. MODEL.onnx.modelinfo, if there is one, is copied to OUT.recipe.modelinfo.
--chip, --release: whom the recipe says that it is for. Needs onnx.
"""
import argparse
import json
import os
import shutil
import struct
import sys

import onnx

MAGIC = b"SYNDBL1\n"
NAMES = {"uint8": "uint8", "int8": "int8", "uint16": "uint16", "int16": "int16", "uint32": "uint32", "int32": "int32", "int64": "int64",
         "float16": "float16", "bfloat16": "bfloat16", "float": "float32"}


def tensor(value, is_input):
    """The table's row of one input or output. ValueError: a Gaudi has no such tensor."""
    kind = value.type.tensor_type
    name = NAMES.get(onnx.TensorProto.DataType.Name(kind.elem_type).lower())
    dims = [d.dim_value for d in kind.shape.dim]
    if name is None or not dims or min(dims) < 1:
        raise ValueError(f"{value.name}: type {kind.elem_type}, dimensions {dims}")
    return {"name": value.name, "input": is_input, "type": name, "dims": dims}


def recipe(model, chip="gaudi2", release=(1, 21), workspace=1 << 20, tensors=None):
    """The file's bytes. `tensors`: another table than the graph's, for recipes that are wrong."""
    initializers = {i.name for i in model.graph.initializer}
    graph = model.SerializeToString()
    if tensors is None:
        tensors = [tensor(value, True) for value in model.graph.input if value.name not in initializers] + [tensor(value, False) for value in model.graph.output]
    description = json.dumps({"release": list(release), "chip": chip, "workspace": workspace, "onnx": len(graph), "tensors": tensors}).encode()
    return MAGIC + struct.pack("<I", len(description)) + description + graph


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--chip", choices=["gaudi", "gaudi2", "gaudi3"], default="gaudi2")
    parser.add_argument("--release", default="1.21", metavar="MAJOR.MINOR")
    parser.add_argument("--workspace", type=int, default=1 << 20, metavar="BYTES")
    options = parser.parse_args()
    try:
        data = recipe(onnx.load(options.model), options.chip, tuple(map(int, options.release.split("."))), options.workspace)
    except ValueError as error:
        return f"make_recipe.py: {options.model}: {error}"
    with open(options.out, "wb") as file:
        file.write(data)
    if os.path.exists(options.model + ".modelinfo"):
        shutil.copy(options.model + ".modelinfo", options.out + ".modelinfo")
    return None


if __name__ == "__main__":
    sys.exit(main())
