#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts/dev/image.py on a system of a few files. Usage: image_writer_test.py SOURCE-ROOT

What it writes is read by tests/image/ociarchive.py, which knows the specification and not the writer.
"""
import io
import json
import os
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
sys.path[:0] = [str(ROOT / "scripts/dev"), str(ROOT / "tests/image")]

import image  # noqa: E402
from ociarchive import OciArchive, Wrong  # noqa: E402

EPOCH = 1_700_000_000
# Meson's libdir need not be that of the system.
PLUGIN = "usr/local/lib64/gstreamer-1.0/libgsthabana.so"
PLACE = "usr/lib/x86_64-linux-gnu/gstreamer-1.0"


def make_runtime(path):
    with tarfile.open(path, "w") as archive:
        for name, content, kind in (("./", None, tarfile.DIRTYPE), ("./bin", "usr/bin", tarfile.SYMTYPE), ("./etc/", None, tarfile.DIRTYPE), ("./etc/name", b"debian", None),
                                    ("./usr/", None, tarfile.DIRTYPE), ("./usr/local/", None, tarfile.DIRTYPE), ("./usr/local/lib64/", None, tarfile.DIRTYPE),
                                    (f"./{PLACE}/libgstcoreelements.so", b"elements", None)):
            info = tarfile.TarInfo(name)
            info.mtime = EPOCH - 5
            if kind == tarfile.SYMTYPE:
                info.type, info.linkname = kind, content
                archive.addfile(info)
            elif kind:
                info.type = kind
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def make_stage(folder):
    plugin = folder / PLUGIN
    plugin.parent.mkdir(parents=True)
    plugin.write_bytes(b"the plugin")
    program = folder / "usr/local/bin/hl-doctor"
    program.parent.mkdir()
    program.write_bytes(b"the doctor")
    program.chmod(0o700)      # as an umask may have it


def members(path):
    with tarfile.open(path) as archive:
        return {os.path.normpath(member.name): member for member in archive}


class ImageWriter(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)
        make_runtime(self.folder / "runtime.tar")
        self.stage = self.folder / "stage"
        make_stage(self.stage)

    def write(self, out):
        folder = self.folder / out
        folder.mkdir()
        return image.write_image(self.folder / "runtime.tar", self.stage, "1.2.3", "amd64", EPOCH, folder)

    def test_the_archive_is_as_specified(self):
        oci = OciArchive(self.write("a")[0])
        self.addCleanup(oci.close)
        self.assertEqual(oci.config["architecture"], "amd64")
        self.assertEqual(oci.config["created"], "2023-11-14T22:13:20Z")
        self.assertEqual(len(oci.layers), 2)
        with oci.layer(0) as layer:
            self.assertIn("./etc/name", layer.getnames())
        with oci.layer(1) as layer:
            names = layer.getnames()
        self.assertIn(PLUGIN, names)
        self.assertNotIn("usr/local/lib64", names)        # the system has it
        self.assertIn("usr/local/lib64/gstreamer-1.0", names)

    def test_docker_of_old_finds_the_same_blobs(self):
        path = self.write("a")[0]
        oci = OciArchive(path)
        self.addCleanup(oci.close)
        with tarfile.open(path) as archive:
            old, = json.load(archive.extractfile("manifest.json"))
        self.assertEqual(old["RepoTags"], ["gst-habana:1.2.3"])
        blobs = ["blobs/" + d["digest"].replace(":", "/") for d in (oci.manifest["config"], *oci.layers)]
        self.assertEqual([old["Config"], *old["Layers"]], blobs)

    def test_the_root_file_system_is_both_layers(self):
        found = members(self.write("a")[1])
        self.assertEqual(sorted(found), sorted([".", "bin", "dev", "etc", "etc/name", "usr", "usr/local", "usr/local/lib64", "usr/local/bin", "usr/local/bin/hl-doctor",
                                                str(Path(PLUGIN).parent), PLUGIN, f"{PLACE}/libgstcoreelements.so", f"{PLACE}/libgsthabana.so"]))
        self.assertEqual(found[f"{PLACE}/libgsthabana.so"].linkname, "/" + PLUGIN)
        self.assertEqual(found["usr/local/bin/hl-doctor"].mode, 0o755)
        self.assertEqual(found[PLUGIN].mode, 0o644)
        self.assertEqual({(m.uid, m.gid, m.uname, m.gname) for m in found.values()}, {(0, 0, "", "")})

    def test_the_same_input_gives_the_same_bytes(self):
        first = self.write("a")
        later = time.time() + 1000
        for file in self.stage.rglob("*"):
            os.utime(file, (later, later))
        for one, two in zip(first, self.write("b")):
            self.assertEqual(one.read_bytes(), two.read_bytes(), one.name)

    def test_nothing_half_made_is_left(self):
        (self.stage / PLUGIN).unlink()
        with self.assertRaisesRegex(RuntimeError, "0 libgsthabana.so"):
            self.write("a")
        self.assertEqual(list((self.folder / "a").iterdir()), [])

    def test_the_reader_sees_a_flipped_bit(self):
        path = self.write("a")[0]
        with tarfile.open(path) as archive:
            blobs = [member for member in archive if member.isfile() and member.name.startswith("blobs/")]
        self.assertEqual(len(blobs), 4)
        whole = path.read_bytes()
        for blob in blobs:
            broken = bytearray(whole)
            broken[blob.offset_data + blob.size // 2] ^= 1
            path.write_bytes(broken)
            with self.subTest(blob.name), self.assertRaises(Wrong):
                OciArchive(path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
