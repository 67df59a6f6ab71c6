#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the virtual camera looks at: scenes that the model has not seen, as raw frames. Usage: film.py FILE WIDTH HEIGHT FRAMES [SEED [FORMAT]]"""
import datetime
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import scenes  # noqa: E402

FPS = 30


def main():
    path, width, height, frames = sys.argv[1], *map(int, sys.argv[2:5])
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else int(datetime.date.today().strftime("%Y%m%d"))
    pixels = sys.argv[6] if len(sys.argv) > 6 else "NV12"
    line = (f"fdsrc ! rawvideoparse format=rgb width={width} height={height} framerate={FPS}/1 ! videoconvert ! "
            f"video/x-raw,format={pixels},colorimetry=2:4:7:1 ! filesink location={path}")
    process = subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], stdin=subprocess.PIPE)
    for picture, _ in scenes.clip(seed, frames, width, height, FPS):
        process.stdin.write(picture.tobytes())
    process.stdin.close()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
