#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the launch lines of one page. Usage: launch_lines_test.py PAGE.md

Every `gst-launch-1.0` command in a fenced block marked `sh` runs as written, on the simulator, but for two changes: an endless videotestsrc ends after 30 frames, and a sink that needs
a display becomes fakevideosink. A block marked `sh hardware` needs a real Gaudi and is parsed only as far as its element names. Words in capitals (CLIP.mp4) stand for a file: CLIP.mp4 is made here.
"""
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

CLIP = ("gst-launch-1.0 -q videotestsrc num-buffers=30 ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! "
        "x264enc key-int-max=10 ! h264parse ! mp4mux ! filesink location=CLIP.mp4")


def blocks(text):
    return re.findall(r"^```(sh[^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(block):
    joined = re.sub(r"\\\n\s*", " ", block)
    return [line.strip() for line in joined.splitlines() if "gst-launch-1.0" in line]


def runnable(line):
    line = re.sub(r"\bvideotestsrc\b(?![^!]*num-buffers)", "videotestsrc num-buffers=30", line)
    return re.sub(r"\b(autovideosink|ximagesink|glimagesink|kmssink|waylandsink)\b[^!]*", "fakevideosink ", line)


def check(line, folder):
    # Words before the program are environment settings; ./dev run -- is how a user gets here.
    words = [w for w in shlex.split(runnable(line).replace("./dev run -- ", ""))]
    settings = [w for w in words[: words.index("gst-launch-1.0")] if "=" in w]
    command = ["env", *settings, *words[words.index("gst-launch-1.0"):]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    print(("ok   " if done.returncode == 0 else "FAIL ") + line)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def hardware_names_exist(line):
    elements = [part.split()[0] for part in line.split("gst-launch-1.0", 1)[1].split("!") if part.strip()]
    missing = [e for e in elements if re.fullmatch(r"hl[a-z]+", e)
               and subprocess.run(["gst-inspect-1.0", "--exists", e], check=False).returncode != 0]
    print(("FAIL " if missing else "ok   ") + f"(hardware, names only) {line}")
    return not missing


def main():
    page = Path(sys.argv[1])
    results = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(shlex.split(CLIP), cwd=folder, check=True, timeout=60)
        for mark, block in blocks(page.read_text(encoding="utf-8")):
            for line in commands(block):
                results.append(hardware_names_exist(line) if "hardware" in mark else check(line, folder))
    if not results:
        print(f"{page} has no launch line")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
