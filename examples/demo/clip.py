# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's input: synthetic scenes, encoded as H.264 in an MP4 file."""
import subprocess

import scenes

FPS = 30
# A key frame every second, so that a decoder that takes a downstream pool only at the next key frame does so early.
ENCODER = "x264enc speed-preset=veryfast bitrate=2048 key-int-max=30"


def make(seed, frames, size, path):
    """Writes `frames` frames to `path`; returns the ground truth, a list of boxes a frame."""
    width, height = size
    pipeline = (f"fdsrc ! rawvideoparse format=rgb width={width} height={height} framerate={FPS}/1 ! videoconvert ! video/x-raw,format=I420 ! "
                f"{ENCODER} ! h264parse ! mp4mux ! filesink location={path}")
    process = subprocess.Popen(["gst-launch-1.0", "-q", *pipeline.split()], stdin=subprocess.PIPE, env=_untraced())
    truth = []
    try:
        for pixels, boxes in scenes.clip(seed, frames, width, height, FPS):
            process.stdin.write(pixels.tobytes())
            truth.append(boxes)
    except BrokenPipeError:
        pass  # the encoder's own message and exit status say why
    finally:
        process.stdin.close()
    if process.wait() != 0:
        raise RuntimeError(f"the clip could not be encoded with: {pipeline}")
    return truth


def _untraced():
    """The encoder is not part of the line under report."""
    import os
    return {key: value for key, value in os.environ.items() if key != "GST_TRACERS"}
