# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the demo prints and draws."""
import json

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402
from PIL import Image  # noqa: E402

COUNTERS = ("cpu-copies", "uploads", "downloads", "p2p", "read-backs")
COLUMNS, ROWS, TILE_WIDTH = 4, 3, 320


def load_hops(path):
    """The hops that the hlcopies tracer wrote."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)["hops"]


def print_table(summary, score, line):
    print(f"\n{line}\n")
    print(f"Backend {summary['backend']} ({summary['stand_in']}), frames in {summary['placement']} memory.")
    print(f"{summary['frames']} frames, {summary['fps']:.1f} fps for the whole line (decode, infer, draw, encode)")
    latency = summary["latency"]
    print(f"hlinfer, sink to src: p50 {latency['p50_ms']:.2f} ms, p95 {latency['p95_ms']:.2f} ms, p99 {latency['p99_ms']:.2f} ms\n")
    print(f"{'IoU 0.5, score 0.5':20} {'precision':>9} {'recall':>7} {'hits':>6} {'false':>6} {'missed':>6}")
    for label, row in [*score["labels"].items(), ("all", score)]:
        print(f"{label:20} {row['precision']:9.4f} {row['recall']:7.4f} {row['true_positives']:6} {row['false_positives']:6} {row['misses']:6}")
    print(f"\n{'hop':30} {'frames':>7} {'memory':>8} " + " ".join(f"{name:>10}" for name in COUNTERS))
    for hop in summary["hops"]:
        print(f"{hop['element'][:30]:30} {hop['frames']:7} {hop['memory']:>8} " + " ".join(f"{hop[name]:>10}" for name in COUNTERS))
    print("What happens inside a decoder, an encoder or a kernel driver is not seen.")


def contact_sheet(video, path):
    """Tiles evenly spaced frames of `video` into one PNG."""
    pipeline = Gst.parse_launch(f"filesrc location={video} ! decodebin3 ! videoconvertscale ! video/x-raw,format=RGB,width={TILE_WIDTH},pixel-aspect-ratio=1/1 ! "
                                "appsink name=sink sync=false max-buffers=4")
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    frames = []
    try:
        while (sample := sink.emit("try-pull-sample", 20 * Gst.SECOND)) is not None:
            frames.append(_image(sample))
    finally:
        pipeline.set_state(Gst.State.NULL)
    if not frames:
        raise RuntimeError(f"{video} holds no frame")
    wanted = min(COLUMNS * ROWS, len(frames))
    picked = [frames[int((i + 0.5) * len(frames) / wanted)] for i in range(wanted)]
    tile = picked[0].size
    sheet = Image.new("RGB", (COLUMNS * tile[0], -(-wanted // COLUMNS) * tile[1]))
    for i, frame in enumerate(picked):
        sheet.paste(frame, (i % COLUMNS * tile[0], i // COLUMNS * tile[1]))
    sheet.save(path, optimize=True)


def _image(sample):
    info = GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    buffer = sample.get_buffer()
    return Image.frombytes("RGB", (info.width, info.height), buffer.extract_dup(0, buffer.get_size()), "raw", "RGB", info.stride[0])
