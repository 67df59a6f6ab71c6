#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `./dev image` made runs in a bare chroot and holds what it should. Usage: image_test.py SOURCE-ROOT PREFIX-OF-THE-FILES ELEMENT...

`./dev test image` makes the image first. The chroot sees the unpacked root file system, a /proc and the devices, and nothing else of this machine.
"""
import datetime
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT, PREFIX = Path(sys.argv[1]), sys.argv[2]
ELEMENTS = sys.argv[3:]
del sys.argv[1:]
sys.path[:0] = [str(ROOT / "tests/docs"), str(ROOT / "tests/image")]

import launch_lines_test as launch  # noqa: E402
from ociarchive import OciArchive  # noqa: E402

# In namespaces of its own. Whoever is not root becomes it there.
ENTER = """set -e
mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; shift
exec chroot "$@" """
NOBODYS = (r"var/lib/apt/.*", r"var/cache/apt/.*", r"etc/apt/(?!apt\.conf\.d$).+", r"root/\..*cache.*", r"home/.+", r"tmp/.+", r"run/.+", r"var/log/.+", r"etc/resolv\.conf", r"etc/hostname",
           r"usr/share/(man|info)/.+")


def made(kind):
    paths = list((ROOT / "out/image").glob(f"{PREFIX}-*.{kind}"))
    if len(paths) != 1:
        raise AssertionError(f"{len(paths)} files {PREFIX}-*.{kind} in {ROOT}/out/image; ./dev image makes one")
    return paths[0]


def names(members):
    return {member.name.removeprefix("./").rstrip("/") for member in members}


class Rootfs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls._folder.name) / "root"
        cls.root.mkdir()
        cls.as_root = ["unshare", "--map-root-user"] if subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout != "0\n" else ["unshare"]
        subprocess.run([*cls.as_root, "tar", "--no-same-owner", "-xf", made("rootfs.tar.xz"), "-C", cls.root], check=True, timeout=300)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def inside(self, *command, **environment):
        settings = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "HL_DEVICE": "sim", "LC_ALL": "C.UTF-8", **environment}
        return subprocess.run([*self.as_root, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", self.root, self.root,
                               "env", "-i", *(f"{key}={value}" for key, value in settings.items()), *command],
                              capture_output=True, text=True, timeout=200, check=False)

    def works(self, *command):
        done = self.inside(*command)
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_every_element_is_there(self):
        for element in ELEMENTS:
            with self.subTest(element):
                self.assertIn("libgsthabana.so", self.works("gst-inspect-1.0", element))

    def test_the_first_pipeline_of_the_readme_runs(self):
        line = launch.commands(launch.blocks((ROOT / "README.md").read_text(encoding="utf-8"))[0][1])[0]
        self.assertIn("hlinfer model=builtin:demo", line)
        self.works("sh", "-c", launch.runnable(line))

    def test_detections_are_read_from_python(self):
        self.works("gst-launch-1.0", *("videotestsrc num-buffers=30 ! video/x-raw,format=I420,width=640,height=480 ! x264enc ! mp4mux ! filesink location=/tmp/clip.mp4").split())
        (self.root / "tmp/detect.py").write_bytes((ROOT / "examples/detect-python/detect.py").read_bytes())
        self.assertEqual(self.works("python3", "/tmp/detect.py", "/tmp/clip.mp4").count('"detections"'), 30)

    def test_the_stock_elements_of_the_pages_are_there(self):
        for element in ("decodebin3", "v4l2src", "kmssink", "objectdetectionoverlay", "unixfdsink", "avdec_h264", "x264enc", "ximagesink", "waylandsink"):
            with self.subTest(element):
                self.works("gst-inspect-1.0", "--exists", element)

    def test_hl_doctor_runs(self):
        done = self.inside("hl-doctor", "/dev/no-such-node")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)     # its word for a node that is not there

    def test_each_package_keeps_its_licence(self):
        status = (self.root / "var/lib/dpkg/status").read_text(encoding="utf-8")
        packages = re.findall(r"^Package: (.+)\nStatus: install ok installed", status, re.MULTILINE)
        self.assertGreater(len(packages), 100)
        without = self.works("sh", "-c", 'for package; do [ -s "/usr/share/doc/$package/copyright" ] || echo "$package"; done', "sh", *packages)
        self.assertEqual(without, "")


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.oci = OciArchive(made("oci.tar"))
        with tarfile.open(made("rootfs.tar.xz")) as archive:
            cls.rootfs = archive.getmembers()

    @classmethod
    def tearDownClass(cls):
        cls.oci.close()

    def test_both_files_hold_the_same(self):
        layers = set()
        for i in range(len(self.oci.layers)):
            with self.oci.layer(i) as layer:
                layers |= names(layer)
        self.assertEqual(layers, names(self.rootfs))

    def test_nothing_of_this_machine_is_in_it(self):
        nobodys = re.compile("|".join(NOBODYS))
        self.assertEqual([name for name in sorted(names(self.rootfs)) if nobodys.fullmatch(name)], [])
        machine_id = next(member for member in self.rootfs if member.name.endswith("etc/machine-id"))
        self.assertEqual(machine_id.size, 0)

    def test_the_plugin_names_no_path_of_the_checkout(self):
        with self.oci.layer(1) as layer:
            for member in layer:
                if member.isfile():
                    self.assertNotIn(str(ROOT).encode(), layer.extractfile(member).read(), member.name)

    def test_times_do_not_lie_in_the_future_of_the_commit(self):
        created = datetime.datetime.fromisoformat(self.oci.config["created"]).timestamp()
        self.assertEqual([member.name for member in self.rootfs if member.mtime > created], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
