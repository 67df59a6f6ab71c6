#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/troubleshooting.md shows the errors that the code gives. Usage: error_texts_test.py SOURCE-ROOT

What a row quotes (“…”, in which three dots stand for what differs) is text of the sources; its meaning is that of core/error.h. Every code that the simulator can be brought to give is
provoked by a launch line, and the message on the bus has a cause that the row quotes, and a remedy, if the row quotes remedies. The others are listed here, with the reason.
"""
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import gi
import onnx

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
ROOT = Path(sys.argv.pop(1))
MODELS = ROOT / "examples/models"
NAME = f"sim:error-texts-{os.getpid()}"
FRAMES = "videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1"
FOREIGN = f"{FRAMES} ! identity drop-allocation=true"
DEMO = "hlinfer model=builtin:demo"
NULL = "hlinfer model=builtin:null"

# Code: settings, launch line. {f} is a folder with what prepare() puts there, {m} the one of our models; both may have blanks in their names.
PROVOKED = {
    "HL-DEV-001": ({"HL_SYSFS": "{f}/bare"}, f"{FRAMES} ! {NULL} device=accel7 ! fakesink"),
    "HL-DEV-002": ({}, f"{FRAMES} ! {NULL} device={NAME} ! fakesink"),
    "HL-DEV-004": ({"HL_SIM_FAULTS": "lost@frame:5"}, f"{FRAMES} ! {DEMO} ! fakesink"),
    "HL-DEV-005": ({}, f"{FRAMES} ! {NULL} device=gaudi ! fakesink"),
    "HL-DEV-006": ({"HL_SYSFS": "{f}/driverless"}, f"{FRAMES} ! {NULL} device=auto ! fakesink"),
    "HL-DEV-007": ({"HL_SIM_FAULTS": "much"}, f"{FRAMES} ! {NULL} ! fakesink"),
    "HL-MEM-001": ({"HL_SIM_FAULTS": "hbm-full"}, f"{FRAMES} ! hlupload ! fakesink"),
    "HL-MEM-004": ({"HL_SIM_FAULTS": "udmabuf:1=EIO"}, f"{FRAMES} ! hlupload ! fakesink"),
    "HL-MEM-006": ({"HL_SIM_FAULTS": ",".join(f"alloc:{n}=ENOMEM" for n in range(1, 9))}, f"{FOREIGN} ! {DEMO} ! fakesink"),
    "HL-MEM-007": ({"HL_SIM_FAULTS": "export:1=EMFILE"}, f"{FOREIGN} ! hlupload ! fakesink"),
    "HL-MEM-008": ({}, f"{FRAMES} ! hlupload device=sim ! hldownload device={NAME}-2 ! fakesink"),
    "HL-DMA-001": ({"HL_SIM_FAULTS": "copy:3=EINVAL"}, f"{FRAMES} ! hlupload ! fakesink"),
    "HL-SYN-001": ({"HL_SYSFS": "{f}/driverless", "HL_SYNAPSE_DIR": "{f}/bare"}, f"{FRAMES} ! {NULL} device=synapse ! fakesink"),
    "HL-INF-001": ({"HL_SIM_FAULTS": "submit:4=EINVAL"}, f"{FRAMES} ! {DEMO} ! fakesink"),
    "HL-INF-002": ({"HL_SIM_FAULTS": "run:4=EINVAL"}, f"{FRAMES} ! {DEMO} ! fakesink"),
    "HL-INF-003": ({"HL_SIM_FAULTS": "submit:1=stall"}, f"{FRAMES} ! {DEMO} timeout=200000000 ! fakesink"),
    "HL-CPY-001": ({}, f"{FOREIGN} ! {DEMO} zero-copy=require ! fakesink"),
    "HL-CPY-002": ({}, "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=320,height=240 ! vp9enc deadline=1 cpu-used=8 ! vp9dec ! hlupload zero-copy=require ! fakesink"),
    "HL-IMP-001": ({}, f"{FRAMES} ! {NULL} import-probe=/dev/video987 ! fakesink"),
    "HL-IMP-003": ({}, f"{FRAMES} ! {NULL} import-probe=/dev/null ! fakesink"),
    "HL-MOD-001": ({}, f"{FRAMES} ! hlinfer model={{f}}/none.onnx ! fakesink"),
    "HL-MOD-002": ({}, f"{FRAMES} ! hlinfer model={{f}}/torn.onnx model-info={{m}}/demo.onnx.modelinfo ! fakesink"),
    "HL-MOD-003": ({}, f"{FRAMES} ! hlinfer model={{f}}/bare.onnx ! fakesink"),
    "HL-MOD-004": ({}, f"{FRAMES} ! hlinfer model={{m}}/demo.onnx model-info={{f}}/no-ini.modelinfo ! fakesink"),
    "HL-MOD-006": ({}, f"{FRAMES} ! {DEMO} ! hltensordec labels={{f}}/one.labels ! fakesink"),
    "HL-MOD-007": ({}, f"{FRAMES} ! {DEMO} ! hltensordec tensor-id=other ! fakesink"),
    "HL-MOD-008": ({}, f"{FRAMES} ! {DEMO} ! hltensordec classes=cat ! fakesink"),
    "HL-MOD-009": ({}, f"{FRAMES} ! hlinfer model={{f}}/outside.onnx model-info={{m}}/demo.onnx.modelinfo ! fakesink"),
    "HL-MOD-010": ({}, f"{FRAMES} ! hlinfer model={{f}}/large.onnx model-info={{m}}/demo.onnx.modelinfo ! fakesink"),
    "HL-FMT-001": ({}, f"{FRAMES.replace('NV12', 'ARGB64')} ! {DEMO} ! fakesink"),
    "HL-FMT-002": ({}, f"filesrc location=/dev/zero blocksize=100 num-buffers=3 ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1 ! {DEMO} ! fakesink"),
    "HL-FMT-004": ({}, f"fakesrc num-buffers=3 ! {NULL} ! fakesink"),
}
DRIVER = "needs a V4L2 or DRM driver that answers so; unit tests play one, and the VM suite has some"
RUNTIME = "needs a SynapseAI that loads; unit tests load wrong ones, and the suite synapse has a double of it"
CALLER = "a mistake of a program that uses the library; no launch line makes it, unit tests do"
NOT_PROVOKED = {
    "HL-DEV-003": "needs a Gaudi's node and a user who may not open it; nodeaccess_test and kernelopen_test have its texts",
    "HL-MEM-002": CALLER,
    "HL-MEM-003": "on the bus a loss is HL-DEV-004, whatever fails of it",
    "HL-MEM-005": "memory that others hold is kept, and logged; only a program that releases it by hand is told",
    "HL-MEM-009": "needs an application that keeps a frame mapped",
    "HL-DMA-002": "elements give the whole request a deadline, which is HL-INF-003",
    "HL-DMA-003": "needs a driver that fences",
    "HL-INF-004": "needs a queue that stays full for 5 s; simfaults_test has the refusal, and ends the wait sooner",
    "HL-INF-005": "never on the bus",
    "HL-INF-006": "the simulator computes",
    "HL-IMP-002": "needs a node and a user who may not open it; tests/vm/doctor_test.py has both",
    **dict.fromkeys(("HL-IMP-004", "HL-IMP-005", "HL-IMP-006", "HL-IMP-007", "HL-IMP-008", "HL-IMP-009", "HL-IMP-010", "HL-IMP-011", "HL-IMP-012"), DRIVER),
    "HL-MOD-005": "loading checks the description first; model_test and onnxengine_test have models of each kind",
    "HL-FMT-003": "needs an element that sets a wrong GstVideoMeta",
    "HL-FIL-001": "never on the bus: a report or a measured layout is not worth a pipeline; textfile_test and copies_test have it",
    **dict.fromkeys(("HL-SYN-002", "HL-SYN-003", "HL-SYN-004", "HL-SYN-005", "HL-SYN-006", "HL-SYN-007"), RUNTIME),
    "HL-INT-001": "a defect",
}


def rows():
    """Code: meaning, quotes of the cause, quotes of the remedy."""
    out = {}
    for line in (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"HL-[A-Z]+-\d{3}", cells[0]):
            out[cells[0]] = (cells[1], re.findall("“([^”]+)”", cells[2]), re.findall("“([^”]+)”", cells[3]))
    return out


def pattern(quote):
    return re.compile(".*".join(re.escape(part) for part in quote.split("…")), re.DOTALL)


def literals():
    """The string literals of the sources, those that stand side by side as one."""
    one = r'"(?:[^"\\\n]|\\.)*"'
    for folder in ("hl-bridge", "gst-plugin", "elements"):
        for file in sorted([*(ROOT / folder).rglob("*.cpp"), *(ROOT / folder).rglob("*.h")]):
            for run in re.findall(rf"{one}(?:\s*{one})*", file.read_text(encoding="utf-8")):
                yield "".join(part[1:-1] for part in re.findall(one, run)).replace('\\"', '"')


def prepare(folder):
    (folder / "bare/bus/pci/devices").mkdir(parents=True)
    device = folder / "driverless/bus/pci/devices/0000:4d:00.0"
    device.mkdir(parents=True)
    for name, text in (("vendor", "0x1da3"), ("device", "0x1020"), ("class", "0x120000")):
        (device / name).write_text(text + "\n", encoding="ascii")
    (folder / "torn.onnx").write_bytes((MODELS / "demo.onnx").read_bytes()[:1000])
    bare = onnx.load(str(MODELS / "demo.onnx"))
    del bare.metadata_props[:]
    onnx.save(bare, str(folder / "bare.onnx"))
    outside = onnx.load(str(MODELS / "demo.onnx"))
    tensor = next(t for t in outside.graph.initializer if t.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../data.bin")
    (folder / "outside.onnx").write_bytes(outside.SerializeToString())
    with open(folder / "large.onnx", "wb") as large:
        large.truncate(2 << 30)  # sparse
    (folder / "no-ini.modelinfo").write_text("what is this\n", encoding="ascii")
    (folder / "one.labels").write_text("one\n", encoding="ascii")


def filled_in(text, places):
    for name, path in places.items():
        text = text.replace(name, path)
    return text


def first_error(settings, line):
    """Code and text of the first error of ours that a launch line, given in words, has on its bus: cause, newline, remedy."""
    # Read as far as the error alone: gst-launch-1.0 takes an early one for the end of a main loop that does not run yet, and stands still then (gst-launch.c
    # bus_sync_handler, of 1.26 and of 1.28).
    said = ""
    with subprocess.Popen(["timeout", "60", "gst-launch-1.0", *line], env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as launch:
        for text in launch.stderr:
            said += text
            if found := re.search(r"ERROR: from element \S+: (HL-[A-Z]+-\d{3}): (.*?)\nAdditional debug info:", said, re.DOTALL):
                launch.terminate()
                return found.groups()
    return None, said


@contextlib.contextmanager
def owner_of(device):
    """Another process's owner of a simulator: this one."""
    holder = Gst.ElementFactory.make("hlupload")
    holder.set_property("device", device)
    try:
        assert holder.set_state(Gst.State.READY) == Gst.StateChangeReturn.SUCCESS
        yield
    finally:
        holder.set_state(Gst.State.NULL)


class Page(unittest.TestCase):
    def test_each_code_is_provoked_or_has_a_reason(self):
        told = rows()
        self.assertEqual(set(PROVOKED) | set(NOT_PROVOKED), set(told))
        self.assertEqual(set(PROVOKED) & set(NOT_PROVOKED), set())

    def test_meanings_are_those_of_the_code(self):
        header = (ROOT / "hl-bridge/core/error.h").read_text(encoding="utf-8")
        self.assertEqual(dict(re.findall(r'"(HL-[A-Z]+-\d{3})",\s*"([^"]+)"', header)), {code: row[0] for code, row in rows().items()})

    def test_quotes_are_texts_of_the_sources(self):
        texts = list(literals())
        quoted = 0
        for code, (_, causes, remedies) in rows().items():
            self.assertTrue(causes, f"{code} quotes no cause")
            for quote in causes + remedies:
                quoted += 1
                with self.subTest(code, quote=quote):
                    self.assertTrue(any(pattern(quote).search(text) for text in texts), f"{code}: no source says “{quote}”")
        print(f"{quoted} quotes of {len(rows())} codes")


class Simulator(unittest.TestCase):
    def test_what_is_provoked_says_what_the_page_quotes(self):
        told = rows()
        with tempfile.TemporaryDirectory() as name, owner_of(NAME):
            prepare(Path(name))
            for code, (settings, line) in PROVOKED.items():
                with self.subTest(code):
                    places = {"{f}": name, "{m}": str(MODELS)}
                    self.check(code, told[code], *first_error({key: filled_in(value, places) for key, value in settings.items()}, [filled_in(word, places) for word in line.split()]))
        print(f"{len(PROVOKED)} of {len(told)} codes provoked; not provoked:")
        for code, reason in NOT_PROVOKED.items():
            print(f"  {code}: {reason}")

    def check(self, code, row, said, text):
        self.assertEqual(said, code, text)
        _, causes, remedies = row
        cause, _, remedy = text.partition("\n")
        self.assertTrue(any(pattern(quote).search(cause) for quote in causes), f"{code}: the page has nothing of “{cause}”")
        if remedies:
            self.assertTrue(any(pattern(quote).search(remedy) for quote in remedies), f"{code}: the page has nothing of “{remedy}”")


if __name__ == "__main__":
    unittest.main(verbosity=2)
