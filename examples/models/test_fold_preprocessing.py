#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What fold_preprocessing.py refuses, and the kinds of graphs it takes. That a folded model does what hlinfer's preprocessing does: tests/pipelines."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
import fold_preprocessing as tool  # noqa: E402
import runtime  # noqa: E402

INFO = "[modelinfo]\nversion=1.0\n\n[image]\ndir=input\ntype=float32\nranges=0,255\n\n[out]\ndir=output\ntype=float32\nid={}\n\n[gst-habana]\nscale-mode={}\n"


def model(nodes, image=(1, 3, 4, 8), outputs=(("out", (1, 3, 4, 8)),), dtype=TensorProto.FLOAT, opset=13, constants=(), constants_are_inputs=False):
    inputs = [helper.make_tensor_value_info("image", dtype, image)]
    if constants_are_inputs:
        inputs += [helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in constants]
    graph = helper.make_graph(nodes, "test", inputs, [helper.make_tensor_value_info(name, dtype, dims) for name, dims in outputs], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 3 if constants_are_inputs else 8
    return made


def constant(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


PLAIN = [helper.make_node("Identity", ["image"], ["out"])]


class Fold(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def store(self, made, info=INFO.format("pixels", "stretch")):
        path = self.folder / "model.onnx"
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        if info is not None:
            (self.folder / "model.onnx.modelinfo").write_text(info, encoding="utf-8")
        return path

    def run_tool(self, path, *more, size="8x4", out="folded.onnx"):
        """(message or None, what was printed)"""
        printed = io.StringIO()
        with mock.patch.object(sys, "argv", ["fold_preprocessing.py", str(path), str(self.folder / out), "--size", size, *more]), contextlib.redirect_stdout(printed):
            return tool.main(), printed.getvalue()

    def refused(self, cause, remedy, path, *more, **options):
        before = sorted(self.folder.rglob("*"))
        message, _ = self.run_tool(path, *more, **options)
        self.assertIsNotNone(message)
        self.assertIn(f"fold_preprocessing.py: {path} cannot be folded: ", message)
        self.assertIn(cause, message)
        self.assertIn(remedy, message)
        self.assertEqual(len(message.splitlines()), 1, message)
        self.assertEqual(sorted(self.folder.rglob("*")), before)     # nothing is left behind

    def outputs(self, made, y, uv, info=INFO.format("pixels", "stretch"), size=None, names=("out",)):
        """What the folded model makes of two planes, every sample of them alike."""
        size = size or (8, 4)
        message, _ = self.run_tool(self.store(made, info), size=f"{size[0]}x{size[1]}")
        self.assertIsNone(message)
        session = runtime.session(self.folder / "folded.onnx")
        return session.run(list(names), {"frame:y": np.full((1, size[1], size[0], 1), y, np.uint8), "frame:uv": np.full((1, size[1] // 2, size[0] // 2, 2), uv, np.uint8)})

    def test_sizes_that_are_none(self):
        path = self.store(model(PLAIN))
        for size in ("641x480", "640x481", "0x480", "640x20000"):
            self.refused(f"the size {size} is odd or out of range", "give even sides of at most 16384", path, size=size)
        for size in ("640", "640x480x3", "axb", "-640x480", "640.0x480"):
            self.refused(f"the size {size} is not WIDTHxHEIGHT", "--size 640x480", path, f"--size={size}")

    def test_colorimetry_that_is_none(self):
        path = self.store(model(PLAIN))
        for text in ("sRGB", "bt470", "0:4:0:0", "2:1:7:1", "2:0:0:0", "2:3", "2:3:5:1:0", "", "2:x:5:1"):
            self.refused(f"the colorimetry {text} is not known", "give what the frames' caps say: bt601, bt709", path, f"--colorimetry={text}")

    def test_colorimetry_nobody_gave_is_gstreamers_default(self):
        for height, matrix in ((2, "bt601"), (576, "bt601"), (578, "bt709")):
            self.assertEqual(tool.Colorimetry.parse(None, height), tool.Colorimetry(matrix, tool.LIMITED))
        for text, name in (("1:4:0:0", "bt601"), ("1:3:5:1", "bt709")):
            self.assertEqual(tool.Colorimetry.parse(text, 4), tool.Colorimetry(name, tool.FULL))

    def test_files_that_are_no_models(self):
        whole = model(PLAIN, constants=[constant("unused", np.arange(1000))]).SerializeToString()
        for torn in (b"", whole[:len(whole) // 2], whole[:-1], b"no model at all", whole[:7]):
            self.refused("it is no complete .onnx file", "copy or export it again", self.store(torn))
        self.refused("it cannot be read: No such file", "check the path", self.folder / "none.onnx")
        self.refused("it cannot be read: Is a directory", "check the path", self.folder)

    def test_models_without_an_image(self):
        no_image = "there is no image input"
        two = model([helper.make_node("Add", ["image", "other"], ["out"])])
        two.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, (1, 3, 4, 8)))
        for made, shown in ((model(PLAIN, (1, 16), (("out", (1, 16)),)), "image (float, 1x16)"), (model(PLAIN, (1, 4, 4, 8), (("out", (1, 4, 4, 8)),)), "image (float, 1x4x4x8)"),
                            (model(PLAIN, (2, 3, 4, 8), (("out", (2, 3, 4, 8)),)), "image (float, 2x3x4x8)"), (model(PLAIN, dtype=TensorProto.INT64), "image (int64, 1x3x4x8)"),
                            (two, "image (float, 1x3x4x8), other (float, 1x3x4x8)")):
            self.refused(f"its inputs are {shown}: {no_image}", "give a model with one input 1x3xHxW", self.store(made))
        self.refused("leaves the image's size open", "write dims= of that input", self.store(model(PLAIN, (1, 3, "h", "w"), (("out", (1, 3, "h", "w")),))))
        self.refused("it is of ONNX opset 10", "export it with opset_version=13", self.store(model(PLAIN, opset=10)))

    def test_descriptions_that_do_not_do(self):
        made = model(PLAIN)
        (self.folder / "model.onnx").write_bytes(made.SerializeToString())
        self.refused("what its tensors mean is not known", "write MODEL.onnx.modelinfo first", self.folder / "model.onnx")
        self.refused("cannot be used: [Errno 2]", "hlinfer says what is wrong", self.folder / "model.onnx", f"--model-info={self.folder}/none")
        for text in ("no ini", "[modelinfo\n", INFO.format("x", "squeeze"), INFO.format("x", "stretch").replace("0,255", "255,0"), INFO.format("x", "stretch") + "mean=1,2\n",
                     INFO.format("x", "stretch") + "scale=nan\n", INFO.format("x", "stretch") + "pad-value=300\n", INFO.format("x", "stretch") + "pad-value=grey\n"):
            self.refused("cannot be used: ", "hlinfer says what is wrong", self.store(made, text))
        (self.folder / "model.onnx.modelinfo").write_bytes(b"\xff\xfe")
        self.refused("cannot be used: 'utf-8' codec", "hlinfer says what is wrong", self.folder / "model.onnx")
        self.refused("values beyond 65504", "correct the model's description", self.store(model(PLAIN, dtype=TensorProto.FLOAT16), INFO.format("x", "stretch") + "scale=1000\n"))

    def test_outputs_that_cannot_come_into_the_frame(self):
        flat = [helper.make_node("Reshape", ["image", "shape"], ["out"])]
        shape = [constant("shape", [1, 96], np.int64)]
        self.refused("its output out (float, 1x96) is no tensor of the id yolo-v8-out", "correct the id", self.store(model(flat, outputs=(("out", (1, 96)),), constants=shape), INFO.format("yolo-v8-out", "stretch")))
        halved = [helper.make_node("AveragePool", ["image"], ["out"], kernel_shape=[2, 2], strides=[2, 2])]
        self.refused("the border of the letterboxed frame ends inside a cell of the 4x2 mask prototypes", "scale-mode=stretch",
                     self.store(model(halved, outputs=(("out", (1, 3, 2, 4)),)), INFO.format(tool.PROTOTYPES, "letterbox")), size="6x4")
        constant_out = model([helper.make_node("Identity", ["image"], ["other"])], outputs=(("out", (1, 5, 8)), ("other", (1, 3, 4, 8))), constants=[constant("out", np.zeros((1, 5, 8)))])
        self.refused("its output out is a constant", "give a model whose outputs are computed", self.store(constant_out, INFO.format("yolo-v8-out", "stretch")))

    def test_a_folded_model_is_not_folded_again(self):
        self.assertIsNone(self.run_tool(self.store(model(PLAIN)))[0])
        self.refused("the model eats raw planes already", "give the model as it was before", self.folder / "folded.onnx", out="twice.onnx")

    def test_places_that_cannot_be_written(self):
        path = self.store(model(PLAIN))
        self.refused("cannot be written: No such file or directory", "choose another place", path, out="none/out.onnx")
        self.refused("it would be overwritten", "give another name", path, out="model.onnx")

    def test_open_dimensions_are_those_of_the_description(self):
        info = INFO.format("pixels", "stretch").replace("ranges=", "dims=1,3,4,8\nranges=")
        (out,) = self.outputs(model(PLAIN, ("n", 3, "h", "w"), (("out", ("n", 3, "h", "w")),)), 235, 128, info)
        self.assertEqual(out.shape, (1, 3, 4, 8))
        np.testing.assert_allclose(out, 255, atol=1e-3)

    def test_without_a_description_the_metadata_has_the_ids(self):
        made = model(PLAIN)
        helper.set_model_props(made, {"out": "pixels"})
        (out,) = self.outputs(made, 235, 128, None)
        np.testing.assert_allclose(out, 1, atol=1e-5)                 # hlinfer's default: 0..1
        self.assertIn("id=pixels\n", (self.folder / "folded.onnx.modelinfo").read_text(encoding="utf-8"))

    def test_constants_that_are_inputs_stay_constants(self):
        nodes = [helper.make_node("Add", ["image", "one"], ["out"])]
        (out,) = self.outputs(model(nodes, constants=[constant("one", [1])], constants_are_inputs=True), 16, 128)
        np.testing.assert_allclose(out, 1, atol=1e-3)

    def test_an_output_that_the_graph_goes_on_with(self):
        """Mapped where it leaves the graph, and as it was where a node or the body of a branch reads it."""
        body = helper.make_graph([helper.make_node("Identity", ["boxes"], ["read"])], "body", [], [helper.make_tensor_value_info("read", TensorProto.FLOAT, (1, 6, 16))])
        nodes = [helper.make_node("Reshape", ["image", "shape"], ["boxes"]), helper.make_node("Neg", ["boxes"], ["negative"]),
                 helper.make_node("If", ["yes"], ["branch"], then_branch=body, else_branch=body)]
        made = model(nodes, outputs=(("boxes", (1, 6, 16)), ("negative", (1, 6, 16)), ("branch", (1, 6, 16))),
                     constants=[constant("shape", [1, 6, 16], np.int64), constant("yes", True, np.bool_)])
        boxes, negative, branch = self.outputs(made, 126, 128, INFO.format("yolo-v8-out", "stretch").replace("[out]", "[boxes]"), (16, 12), ("boxes", "negative", "branch"))
        grey = (126 - 16) * 255 / 219
        np.testing.assert_allclose(branch, grey, rtol=1e-5)
        np.testing.assert_allclose(negative, -grey, rtol=1e-5)
        np.testing.assert_allclose(boxes[0, :, 0], [2 * grey, 3 * grey, 2 * grey, 3 * grey, grey, grey], rtol=1e-5)

    def test_boxes_one_after_the_other(self):
        """As some export YOLOv8, and as YOLOv5 always is, however few its boxes are."""
        nodes = [helper.make_node("Reshape", ["image", "shape"], ["out"])]
        grey = (126 - 16) * 255 / 219
        for tensor_id, dims in (("yolo-v8-out", (1, 16, 6)), ("yolo-v5-out", (1, 16, 6)), ("yolo-v5-out", (1, 6, 16))):
            with self.subTest(tensor_id=tensor_id, dims=dims):
                made = model(nodes, outputs=(("out", dims),), constants=[constant("shape", dims, np.int64)])
                (boxes,) = self.outputs(made, 126, 128, INFO.format(tensor_id, "stretch"), (16, 12))
                np.testing.assert_allclose(boxes[0, 5], [2 * grey, 3 * grey, 2 * grey, 3 * grey, *[grey] * (dims[2] - 4)], rtol=1e-5)

    def test_the_description_is_whole(self):
        (self.folder / "deep").mkdir()
        path = self.store(model(PLAIN), INFO.format("pixels", "letterbox").replace("version=1.0", "version=1.0\ngroup-id=g") + "labels=names.txt\n")
        message, printed = self.run_tool(path, out="deep/folded.onnx", size="640x480")
        self.assertIsNone(message)
        self.assertIn("NV12 frames of 640x480, bt601, limited range, scaled to 5x4 at 1,0 of 8x4", printed)
        self.assertIn("out: left as it is", printed)
        text = (self.folder / "deep/folded.onnx.modelinfo").read_text(encoding="utf-8")
        self.assertEqual(text, "[modelinfo]\nversion=1.0\ngroup-id=g\n\n[frame:y]\ndir=input\nbind=frame:y\ntype=uint8\ndims=1,480,640,1\ndims-order=row-major\n\n"
                         "[frame:uv]\ndir=input\nbind=frame:uv\ntype=uint8\ndims=1,240,320,2\ndims-order=row-major\n\n"
                         "[out]\ndir=output\nid=pixels\ntype=float32\ndims=1,3,4,8\ndims-order=row-major\n\n[gst-habana]\nplanes=nv12\nlabels=../names.txt\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
