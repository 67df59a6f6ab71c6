#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Follows docs/models.md from an exported model to detections that are held against the truth. Usage: models_page_test.py SOURCE-ROOT

The blocks marked `bash` run in their order, in one folder, with MODEL.onnx there (the demo's network without the ids in its metadata: what an export gives) and CLIP.mp4. Then each mistake of
the page's table is made, and what comes of it compared with what the page says.
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
sys.path[:0] = [str(ROOT / "examples/demo"), str(ROOT / "examples/models"), str(ROOT / "tests/docs")]

import clip  # noqa: E402
import gi  # noqa: E402
import launch_lines_test as launch  # noqa: E402
import onnx  # noqa: E402
from evaluate import evaluate  # noqa: E402

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
from gi.repository import GLib, Gst, GstAnalytics  # noqa: E402

PAGE = (ROOT / "docs/models.md").read_text(encoding="utf-8")
FRAMES, SIZE, SEED = 60, (640, 480), 20260713
TOLERANCE = 0.05


def exported(path):
    """A detector as an exporter leaves it: names and shapes, and no word about what they mean."""
    model = onnx.load(ROOT / "examples/models/demo.onnx")
    del model.metadata_props[:]
    onnx.save(model, path)


def detections_of(text):
    """What a line whose hltensordec is named `decode` finds, a list of boxes a frame."""
    Gst.init(None)
    pipeline, frames = Gst.parse_launch(text), []

    def on_frame(_pad, info):
        meta = GstAnalytics.buffer_get_analytics_relation_meta(info.get_buffer())
        found = [meta.get_od_mtd(i)[1] for i in range(GstAnalytics.relation_get_length(meta) if meta else 0)]
        frames.append([dict(zip(("x", "y", "w", "h", "score"), box.get_location()[1:]), label=GLib.quark_to_string(box.get_obj_type())) for box in found])
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("decode").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, on_frame)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message is None or message.type != Gst.MessageType.EOS:
        raise AssertionError(f"{text}: {message and message.parse_error()}")
    return frames


class ModelsPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = Path(cls._folder.name)
        exported(cls.folder / "MODEL.onnx")
        cls.truth = clip.make(SEED, FRAMES, SIZE, cls.folder / "CLIP.mp4")
        (cls.folder / "examples").symlink_to(ROOT / "examples")
        for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            done = subprocess.run(["bash", "-ec", launch.runnable(block)], cwd=cls.folder, capture_output=True, text=True, timeout=100, check=False)
            if done.returncode != 0:
                raise AssertionError(f"{block}\n{done.stdout}{done.stderr}")

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def ratios(self, found):
        score = evaluate(found, self.truth)
        return score["precision"], score["recall"]

    @staticmethod
    def parsed(text):
        return [[{"label": d["label"], "score": d["score"], **d["box"]} for d in json.loads(line)["detections"]] for line in text.splitlines()]

    def test_the_steps_lead_to_detections(self):
        precision, recall = self.ratios(self.parsed((self.folder / "found.json").read_text(encoding="utf-8")))
        print(f"precision {precision:.3f}, recall {recall:.3f}")
        self.assertGreaterEqual(precision, 0.9)
        self.assertGreaterEqual(recall, 0.9)
        self.assertRegex((self.folder / "log.txt").read_text(encoding="utf-8"), r"decoding yolov8 of 1x9x2100: 5 classes, 5 labels")

    def test_a_model_that_eats_planes_finds_the_same(self):
        precision, recall = self.ratios(detections_of(
            f"filesrc location={self.folder}/CLIP.mp4 ! decodebin3 ! videoconvert ! video/x-raw,format=NV12 ! hlinfer model={self.folder}/PLANES.onnx ! hltensordec name=decode ! fakesink"))
        print(f"planes: precision {precision:.3f}, recall {recall:.3f}")
        self.assertGreaterEqual(precision, 0.9)
        self.assertGreaterEqual(recall, 0.9)

    def test_a_mistake_shows_as_the_page_says(self):
        rows = re.findall(r"^\| `([^`]+)`[^|]*\| precision ([\d.]+), recall ([\d.]+)[^|]*\|$", PAGE, re.MULTILINE)
        self.assertGreaterEqual(len(rows), 3)
        for wrong, *told in rows:
            with self.subTest(wrong):
                key = wrong.split("=")[0]
                info = self.folder / "WRONG.onnx.modelinfo"
                shutil.copy(self.folder / "MODEL.onnx", self.folder / "WRONG.onnx")
                text = (self.folder / "MODEL.onnx.modelinfo").read_text(encoding="utf-8")
                self.assertEqual(len(re.findall(rf"^{key}=", text, re.MULTILINE)), 1)
                info.write_text(re.sub(rf"^{key}=.*$", wrong, text, flags=re.MULTILINE), encoding="utf-8")
                done = subprocess.run([sys.executable, ROOT / "examples/detect-python/detect.py", "CLIP.mp4", "WRONG.onnx"],
                                      cwd=self.folder, capture_output=True, text=True, timeout=100, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                seen = self.ratios(self.parsed(done.stdout))
                print(f"{wrong}: precision {seen[0]:.3f}, recall {seen[1]:.3f}")
                for one, other in zip(seen, told):
                    self.assertAlmostEqual(one, float(other), delta=TOLERANCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
