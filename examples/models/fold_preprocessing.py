#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Folds the preprocessing of a model into the model, so that it eats the raw planes of NV12 frames of one size, as a model for a Gaudi must.

    fold_preprocessing.py MODEL.onnx OUT.onnx --size 640x480 [--colorimetry bt709]

MODEL takes one image, as hlinfer feeds it: its .modelinfo says how frames become that image (scale-mode, pad-value, colour, ranges or mean and scale). OUT takes `frame:y` 1xHxWx1 and `frame:uv`
1x(H/2)x(W/2)x2, uint8, and does the same inside: bilinear scaling or letterbox, NV12 to RGB, normalisation, type and layout. Boxes whose tensor id hltensordec knows come out in the frame's pixels.
OUT.onnx.modelinfo is written beside it. Needs numpy and onnx.
"""
import argparse
import configparser
import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

MOST = 16384                  # pixels a side, hlinfer's own limit
OPSET = 11                    # of Resize at half-pixel centres, Clip and Pad with tensors
HALF_MOST = 65504             # the largest finite float16
# Kr and Kb of ITU-T H.273, table 4, and the number GStreamer's caps have for the matrix.
MATRICES = {"fcc": (2, 0.30, 0.11), "bt709": (3, 0.2126, 0.0722), "bt601": (4, 0.299, 0.114), "smpte240m": (5, 0.212, 0.087), "bt2020": (6, 0.2627, 0.0593)}
FULL, LIMITED = 1, 2          # ranges, as caps number them
IMAGE_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8)
Y, UV = "frame:y", "frame:uv"

# What hltensordec reads of tensors with these ids.
YOLOV8, YOLOV5 = ("yolo-v8-out", "yolo-v8-segmentation-out-detections"), ("yolo-v5-out",)
PROTOTYPES = "yolo-v8-segmentation-out-protos"
SSD = ("ssd-mobilenet-v1-variant-1-out-boxes", "Gst.Model.ObjectDetector.Boxes")
PLACELESS = ("ssd-mobilenet-v1-variant-1-out-scores", "ssd-mobilenet-v1-variant-1-out-classes", "generic-variant-1-out-count", "Gst.Model.ObjectDetector.Scores",
             "Gst.Model.ObjectDetector.Classes", "Gst.Model.ObjectDetector.NumDetections", "classification-generic-out", "classification-generic-softmaxed-out")


class Refused(Exception):
    """What cannot be folded: the cause, and what to do."""

    def __init__(self, cause, remedy):
        super().__init__(f"{cause}; {remedy}")


@dataclass(frozen=True)
class Colorimetry:
    matrix: str
    range: int

    @staticmethod
    def parse(text, height):
        """As caps write it: a name, or range:matrix:transfer:primaries. None: GStreamer's own default for frames of that height."""
        if text is None:
            return Colorimetry("bt709" if height > 576 else "bt601", LIMITED)
        if text in ("bt601", "bt709", "smpte240m", "bt2020"):
            return Colorimetry(text, LIMITED)
        numbers = {number: name for name, (number, *_) in MATRICES.items()}
        parts = [int(part) if part.isascii() and part.isdigit() else -1 for part in text.split(":")]
        if len(parts) != 4 or parts[0] not in (FULL, LIMITED) or parts[1] not in numbers:
            raise Refused(f"the colorimetry {text} is not known, or is not one of YUV",
                          "give what the frames' caps say: bt601, bt709, smpte240m, bt2020, or four numbers such as 1:4:0:0 (full range, BT.601)")
        return Colorimetry(numbers[parts[1]], parts[0])

    def to_rgb(self):
        """(matrix, zero): R, G, B in 0..255 = matrix @ ((Y, U, V) - zero); H.273, 8.3."""
        _, kr, kb = MATRICES[self.matrix]
        kg = 1 - kr - kb
        luma, chroma = (1, 1) if self.range == FULL else (255 / 219, 255 / 224)
        matrix = np.array([[luma, 0, 2 * (1 - kr) * chroma],
                           [luma, -2 * kb * (1 - kb) / kg * chroma, -2 * kr * (1 - kr) / kg * chroma],
                           [luma, 2 * (1 - kb) * chroma, 0]])
        return matrix, np.array([0 if self.range == FULL else 16, 128, 128])

    def __str__(self):
        return f"{self.matrix}, {'full' if self.range == FULL else 'limited'} range"


@dataclass
class Description:
    """What a .modelinfo says, hlinfer's defaults where it is silent."""
    group: str = ""
    ids: dict = field(default_factory=dict)       # of outputs
    orders: dict = field(default_factory=dict)    # dims-order of outputs
    dims: dict = field(default_factory=dict)      # of inputs
    letterbox: bool = False
    pad: int = 114
    bgr: bool = False
    mean: tuple = (0.0, 0.0, 0.0)
    scale: tuple = (1 / 255, 1 / 255, 1 / 255)    # value = (pixel - mean) * scale
    labels: Path | None = None

    @staticmethod
    def load(path):
        # GKeyFile's syntax: no continuation lines, no interpolation, case counts.
        parser = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None, strict=False, default_section="")
        parser.optionxform = str
        try:
            parser.read_string("\n".join(line.strip() for line in path.read_text(encoding="utf-8").splitlines()))
            return Description._of({name: parser[name] for name in parser.sections()}, path)
        except (OSError, UnicodeDecodeError, configparser.Error, ValueError) as error:
            raise Refused(f"the description {path} cannot be used: {' '.join(str(error).split())}", "hlinfer says what is wrong with it: gst-launch-1.0 videotestsrc ! hlinfer model=... ! fakesink") from error

    @staticmethod
    def _of(sections, path):
        main, ours = sections.pop("modelinfo", {}), sections.pop("gst-habana", {})
        if "planes" in ours:
            raise Refused(f"by {path} the model eats raw planes already", "give the model as it was before")
        inputs = {name: s for name, s in sections.items() if s.get("dir") == "input"}
        outputs = {name: s for name, s in sections.items() if s.get("dir") == "output"}
        out = Description(group=main.get("group-id", ""),
                          ids={name: s["id"] for name, s in outputs.items() if "id" in s},
                          orders={name: s["dims-order"] for name, s in outputs.items() if "dims-order" in s},
                          dims={name: [int(d) for d in s["dims"].split(",")] for name, s in inputs.items() if "dims" in s},
                          letterbox=_word(ours, "scale-mode", "stretch", "letterbox"), bgr=_word(ours, "colour", "RGB", "BGR"), pad=int(ours.get("pad-value", 114)),
                          labels=path.parent / ours["labels"] if ours.get("labels") else None)
        if not 0 <= out.pad <= 255:
            raise ValueError(f"pad-value={out.pad}")
        for section in inputs.values():
            if "ranges" in section:
                pairs = [tuple(float(v) for v in pair.split(",")) for pair in section["ranges"].rstrip(";").split(";")]
                if len(pairs) not in (1, 3) or any(len(pair) != 2 or not pair[0] < pair[1] for pair in pairs):
                    raise ValueError(f"ranges={section['ranges']}")
                out.scale = _three([(high - low) / 255 for low, high in pairs], "ranges")
                out.mean = _three([-255 * low / (high - low) for low, high in pairs], "ranges")
        for key in ("mean", "scale"):
            if key in ours:
                setattr(out, key, _three([float(v) for v in ours[key].split(",")], key))
        return out


def _word(section, key, no, yes):
    value = section.get(key, no)
    if value not in (no, yes):
        raise ValueError(f"{key}={value}")
    return value == yes


def _three(values, key):
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise ValueError(f"{key} is not one number or three")
    return tuple(values * 3 if len(values) == 1 else values)


@dataclass(frozen=True)
class Fit:
    """How a frame lies in the model's image: model = frame * (inner / frame) + border, per axis."""
    frame: tuple      # width, height
    image: tuple
    inner: tuple
    border: tuple     # left, top

    @staticmethod
    def place(frame, image, letterbox):
        """As hlinfer does: to the nearest pixel, centred, the odd pixel of border right or below."""
        rescale = lambda size, to, whole: max(1, (2 * size * to + whole) // (2 * whole))  # noqa: E731
        inner = image
        if letterbox and image[0] * frame[1] <= image[1] * frame[0]:
            inner = (image[0], min(image[1], rescale(frame[1], image[0], frame[0])))
        elif letterbox:
            inner = (min(image[0], rescale(frame[0], image[1], frame[1])), image[1])
        return Fit(frame, image, inner, tuple((whole - part) // 2 for whole, part in zip(image, inner)))

    def pixels(self):
        """(factor, offset) per axis, from the image's pixels to the frame's."""
        factor = [f / i for f, i in zip(self.frame, self.inner)]
        return factor, [-b * f for b, f in zip(self.border, factor)]

    def shares(self):
        """The same from shares of the image to shares of the frame."""
        return [m / i for m, i in zip(self.image, self.inner)], [-b / i for b, i in zip(self.border, self.inner)]


@dataclass(frozen=True)
class Image:
    """The model's one input."""
    name: str
    type: int
    nhwc: bool
    size: tuple

    @staticmethod
    def of(graph, description):
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) == 1:
            dims, kind = _dims(inputs[0]), inputs[0].type.tensor_type.elem_type
            said = description.dims.get(inputs[0].name, [])
            if len(said) == len(dims):
                dims = [s if d < 0 else d for d, s in zip(dims, said)]
            if len(dims) == 4 and dims[0] in (1, -1) and 3 in (dims[1], dims[3]) and kind in IMAGE_TYPES:
                nhwc = dims[1] != 3
                height, width = dims[1:3] if nhwc else dims[2:]
                if width < 1 or height < 1:
                    raise Refused(f"its input {inputs[0].name} leaves the image's size open", "export it with a fixed size, or write dims= of that input into its .modelinfo")
                if max(width, height) <= MOST:
                    return Image(inputs[0].name, kind, nhwc, (width, height))
        raise Refused(f"its inputs are {', '.join(map(_text, inputs)) or 'none'}: there is no image input", "give a model with one input 1x3xHxW or 1xHxWx3, float32, float16 or uint8")


def _dims(value):
    return [d.dim_value if d.dim_value > 0 else -1 for d in value.type.tensor_type.shape.dim]


def _text(value):
    """For messages: name, type, shape."""
    return f"{value.name} ({TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()}, {'x'.join(str(d) if d > 0 else '?' for d in _dims(value)) or 'scalar'})"


class Folder:
    """Puts nodes before and behind a graph."""

    def __init__(self, graph):
        self.graph, self.nodes, self.count = graph, [], 0

    def name(self):
        self.count += 1
        return f"fold:{self.count}"

    def constant(self, values, dtype=np.float32):
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), self.name()))
        return self.graph.initializer[-1].name

    def add(self, op, inputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [self.name()], **attributes))
        return self.nodes[-1].output[0]

    def plane(self, name, channels, size, inner):
        """1 x channels x inner, float, of a plane as it lies."""
        at = self.add("Transpose", [self.add("Cast", [name], to=TensorProto.FLOAT)], perm=[0, 3, 1, 2])
        if size == inner:
            return at
        return self.add("Resize", [at, "", "", self.constant([1, channels, inner[1], inner[0]], np.int64)], mode="linear", coordinate_transformation_mode="half_pixel")

    def put_before(self, fit, colorimetry, description, image):
        """The planes to the image, and they to the graph's inputs."""
        width, height = fit.frame
        yuv = self.add("Concat", [self.plane(Y, 1, fit.frame, fit.inner), self.plane(UV, 2, (width // 2, height // 2), fit.inner)], axis=1)
        matrix, zero = colorimetry.to_rgb()
        if description.bgr:
            matrix = matrix[::-1]
        at = self.add("Conv", [yuv, self.constant(matrix.reshape(3, 3, 1, 1)), self.constant(-matrix @ zero)])
        at = self.add("Clip", [at, self.constant(0), self.constant(255)])
        if fit.inner != fit.image:
            left, top = fit.border
            right, bottom = (whole - part - start for whole, part, start in zip(fit.image, fit.inner, fit.border))
            at = self.add("Pad", [at, self.constant([0, 0, top, left, 0, 0, bottom, right], np.int64), self.constant(description.pad)], mode="constant")
        at = self.numbers(at, description, image)
        if image.nhwc:
            at = self.add("Transpose", [at], perm=[0, 2, 3, 1])
        self.nodes[-1].output[0] = image.name
        network = list(self.graph.node)
        del self.graph.node[:], self.graph.input[:]
        self.graph.node.extend([*self.nodes, *network])
        self.nodes = []
        self.graph.input.extend([helper.make_tensor_value_info(Y, TensorProto.UINT8, [1, height, width, 1]),
                                 helper.make_tensor_value_info(UV, TensorProto.UINT8, [1, height // 2, width // 2, 2])])

    def numbers(self, at, description, image):
        """Pixels 0..255 to the values and the type of the image. uint8 images are pixels, whatever mean and scale say."""
        if image.type == TensorProto.UINT8:
            return self.add("Cast", [self.add("Round", [at])], to=TensorProto.UINT8)
        factor = np.array(description.scale).reshape(1, 3, 1, 1)
        offset = -factor * np.array(description.mean).reshape(1, 3, 1, 1)
        if image.type == TensorProto.FLOAT16 and max(np.abs(offset).max(), np.abs(255 * factor + offset).max()) > HALF_MOST:
            raise Refused(f"ranges, or mean and scale, give values beyond {HALF_MOST}, where float16 ends", "correct the model's description")
        at = self.add("Add", [self.add("Mul", [at, self.constant(factor)]), self.constant(offset)])
        return self.add("Cast", [at], to=TensorProto.FLOAT16) if image.type == TensorProto.FLOAT16 else at

    def put_behind(self, output, make):
        """Replaces an output by what `make` makes of it, under the old name."""
        inner = self.name()
        if not any(output in node.output for node in self.graph.node):
            raise Refused(f"its output {output} is a constant", "give a model whose outputs are computed")
        _rename(self.graph, output, inner)
        make(inner)
        self.nodes[-1].output[0] = output
        self.graph.node.extend(self.nodes)
        self.nodes = []

    def affine(self, shape, axis, factors, offsets):
        """A maker: the first values along `axis` times factors plus offsets, the others as they are."""
        wide = [1] * len(shape)
        wide[axis] = shape[axis]
        all_factors, all_offsets = np.ones(shape[axis]), np.zeros(shape[axis])
        all_factors[:len(factors)], all_offsets[:len(offsets)] = factors, offsets
        return lambda at: self.add("Add", [self.add("Mul", [at, self.constant(all_factors.reshape(wide))]), self.constant(all_offsets.reshape(wide))])

    def crop(self, fit, shape):
        """A maker: prototypes, of the image, to those of the frame."""
        cells = [whole * part / image for whole, part, image in zip((shape[3], shape[2]), fit.inner, fit.image)]
        start = [whole * part / image for whole, part, image in zip((shape[3], shape[2]), fit.border, fit.image)]
        if not all(float(v).is_integer() for v in [*cells, *start]):
            raise Refused(f"the border of the letterboxed frame ends inside a cell of the {shape[3]}x{shape[2]} mask prototypes", "give frames of another shape, or a model with scale-mode=stretch")
        begin, end = [int(v) for v in reversed(start)], [int(s + c) for s, c in zip(reversed(start), reversed(cells))]
        return lambda at: self.add("Slice", [at, self.constant(begin, np.int64), self.constant(end, np.int64), self.constant([2, 3], np.int64)])


def _rename(graph, old, new):
    """A value, wherever a node gives or takes it; bodies of loops and branches see their surroundings' values."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs:
                _rename(body, old, new)


def map_output(folder, fit, value, tensor_id):
    """Brings an output from the image's pixels to the frame's; a note for the user, or nothing."""
    shape, name = _dims(value), value.name
    if tensor_id in (*YOLOV8, *YOLOV5, *SSD, PROTOTYPES) and (-1 in shape or len(shape) != (4 if tensor_id == PROTOTYPES else 3)):
        raise Refused(f"its output {_text(value)} is no tensor of the id {tensor_id}", "export it with a fixed size, or correct the id in its .modelinfo")
    factor, offset = fit.pixels()
    if tensor_id in (*YOLOV8, *YOLOV5):
        # YOLOv8's tensors are rows of one kind of value or, as many are exported, a row for each box; boxes outnumber values.
        axis = 2 if tensor_id in YOLOV5 or shape[1] > shape[2] else 1
        folder.put_behind(name, folder.affine(shape, axis, [*factor, *factor], [*offset, 0, 0]))
    elif tensor_id in SSD:
        factor, offset = ([y, x, y, x] for x, y in fit.shares())
        folder.put_behind(name, folder.affine(shape, 2, factor, offset))
    elif tensor_id == PROTOTYPES:
        if fit.inner != fit.image:
            make = folder.crop(fit, shape)
            folder.put_behind(name, make)
            sizes = [shape[2] * fit.inner[1] // fit.image[1], shape[3] * fit.inner[0] // fit.image[0]]
            for dim, size in zip(value.type.tensor_type.shape.dim[2:], sizes):
                dim.dim_value = size
    elif tensor_id not in PLACELESS:
        return f"{name}: left as it is; places in it, if it has any, are of the image {fit.image[0]}x{fit.image[1]}"
    return None


def fold(model, description, frame, colorimetry):
    """Changes `model` in place; returns (Fit, notes)."""
    graph = model.graph
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OPSET:
        raise Refused(f"it is of ONNX opset {opset}, and folding needs {OPSET}", "export it with opset_version=13")
    image = Image.of(graph, description)
    fit = Fit.place(frame, image.size, description.letterbox)
    ids = {p.key: p.value for p in model.metadata_props} | description.ids
    if not any(value.name in ids or value.name in description.orders for value in graph.output):
        raise Refused("what its tensors mean is not known: neither a .modelinfo nor its metadata describes an output", "write MODEL.onnx.modelinfo first, as docs/models.md shows")
    folder = Folder(graph)
    folder.put_before(fit, colorimetry, description, image)
    model.ir_version = max(model.ir_version, 4)      # before, initializers had to be inputs too
    notes = [note for note in (map_output(folder, fit, value, ids.get(value.name, "")) for value in graph.output) if note]
    description.ids = ids
    return fit, notes


def description_text(graph, description, folder):
    """The .modelinfo, for a file in `folder`."""
    lines = ["[modelinfo]", "version=1.0", *([f"group-id={description.group}"] if description.group else []), ""]
    for value in graph.input:
        lines += [f"[{value.name}]", "dir=input", f"bind={value.name}", "type=uint8", "dims=" + ",".join(map(str, _dims(value))), "dims-order=row-major", ""]
    for value in graph.output:
        dims = _dims(value)
        lines += [f"[{value.name}]", "dir=output", *([f"id={description.ids[value.name]}"] if value.name in description.ids else []),
                  f"type={helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name}", *(["dims=" + ",".join(map(str, dims))] if dims else []),
                  f"dims-order={description.orders.get(value.name, 'row-major')}", ""]
    lines += ["[gst-habana]", "planes=nv12", *([f"labels={os.path.relpath(description.labels, folder)}"] if description.labels else [])]
    return "\n".join(lines) + "\n"


def load(path):
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}", "check the path and its permissions") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise Refused(f"it is no complete .onnx file: {str(error).strip().splitlines()[0]}", "copy or export it again") from error
    return model


def info_beside(model):
    """As hlinfer looks for it; None where there is none."""
    return next((path for path in (Path(f"{model}.modelinfo"), model.with_suffix(".modelinfo")) if path.exists()), None)


def parse_size(text):
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise Refused(f"the size {text} is not WIDTHxHEIGHT", "write it as in --size 640x480")
    width, height = map(int, parts)
    if width % 2 or height % 2 or not 2 <= width <= MOST or not 2 <= height <= MOST:
        raise Refused(f"the size {text} is odd or out of range, and the planes of NV12 belong to 2x2 pixels", f"give even sides of at most {MOST}, and crop or scale the frames to them before hlinfer")
    return width, height


def write(out, model, text):
    """Both files, or none."""
    wanted = {out: model.SerializeToString(), Path(f"{out}.modelinfo"): text.encode()}
    parts = {path: path.with_name(path.name + ".part") for path in wanted}
    try:
        for path, data in wanted.items():
            parts[path].write_bytes(data)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        raise Refused(f"{out} cannot be written: {error.strerror}", "choose another place for it") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def run(options):
    frame = parse_size(options.size)
    colorimetry = Colorimetry.parse(options.colorimetry, frame[1])
    if options.out.resolve() == options.model.resolve():
        raise Refused("it would be overwritten", "give another name for the folded model")
    model = load(options.model)
    info = options.model_info or info_beside(options.model)
    description = Description.load(info) if info else Description()
    fit, notes = fold(model, description, frame, colorimetry)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Refused(f"with the preprocessing in front it is no valid model: {str(error).strip().splitlines()[0]}", "check the model itself with onnx.checker.check_model(model, full_check=True)") from error
    write(options.out, model, description_text(model.graph, description, options.out.parent))
    size = "x".join(map(str, frame))
    how = "as they are" if fit.inner == fit.frame == fit.image else f"scaled to {fit.inner[0]}x{fit.inner[1]} at {fit.border[0]},{fit.border[1]} of {fit.image[0]}x{fit.image[1]}"
    print("\n".join([f"{options.out}: NV12 frames of {size}, {colorimetry}, {how}", *notes]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", required=True, metavar="WxH", help="of the frames")
    parser.add_argument("--colorimetry", help="of the frames, as their caps have it (bt601, bt709, 1:4:0:0, ...); default: bt601 up to 576 rows, bt709 above")
    parser.add_argument("--model-info", type=Path, help="default: beside the model")
    options = parser.parse_args()
    try:
        run(options)
    except Refused as error:
        return f"fold_preprocessing.py: {options.model} cannot be folded: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
