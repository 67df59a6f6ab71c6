#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process that owns the Gaudi: finds objects in a video and hands each frame to other processes, as a file descriptor and not as a copy.

Usage: owner.py [--hbm] SOCKET FILE. It waits for a line on stdin before it plays, so that no receiver misses a frame, and prints a line of JSON a frame: its time, the inode of its memory
and what was found. Receivers (receiver.py, or gst-launch-1.0 unixfdsrc) connect to SOCKET. Each frame is inferred on in the Gaudi's memory and brought to host pages by the Gaudi's DMA;
with --hbm it is sent as it lies in the Gaudi's memory, which no receiver can map (README.md says what is possible). Nothing to compile: python3-gi and gir1.2-gst-plugins-bad-1.0.
"""
import json
import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAllocators", "1.0")
gi.require_version("GstAnalytics", "1.0")
from gi.repository import GLib, Gst, GstAllocators, GstAnalytics  # noqa: E402

# The caps behind hldownload are those of plain video, so that any stock element can receive; the memory is a dma-buf all the same.
BRING_HOME = "hldownload ! video/x-raw ! "
LINE = "uridecodebin3 name=file ! hlupload ! hlinfer model=builtin:demo ! hltensordec ! {}unixfdsink name=sink sync=false"


def labels(buffer):
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    boxes = [meta.get_od_mtd(i) for i in range(GstAnalytics.relation_get_length(meta) if meta else 0)]
    return [GLib.quark_to_string(box.get_obj_type()) for is_box, box in boxes if is_box]


def on_frame(_pad, info):
    buffer = info.get_buffer()
    inode = os.fstat(GstAllocators.fd_memory_get_fd(buffer.peek_memory(0))).st_ino
    print(json.dumps({"pts": buffer.pts, "inode": inode, "labels": labels(buffer)}), flush=True)
    return Gst.PadProbeReturn.OK


def play(pipeline):
    """Until EOS. Returns the text of an error."""
    bus = pipeline.get_bus()
    pipeline.set_state(Gst.State.PAUSED)  # the socket is there, the first frame ready
    message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ASYNC_DONE | Gst.MessageType.ERROR)
    if message.type == Gst.MessageType.ASYNC_DONE:
        print("ready: start the receivers, then press Enter", file=sys.stderr, flush=True)
        sys.stdin.readline()
        pipeline.set_state(Gst.State.PLAYING)
        message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    return f"error: {message.src.get_name()}: {message.parse_error()[0].message}" if message.type == Gst.MessageType.ERROR else None


def main():
    hbm = "--hbm" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--hbm"]
    if len(arguments) != 2:
        sys.exit("usage: owner.py [--hbm] SOCKET FILE")
    socket, file = arguments
    Gst.init(None)
    pipeline = Gst.parse_launch(LINE.format("" if hbm else BRING_HOME))
    pipeline.get_by_name("file").set_property("uri", Gst.filename_to_uri(file))
    sink = pipeline.get_by_name("sink")
    sink.set_property("socket-path", socket)
    sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_frame)
    error = play(pipeline)
    pipeline.set_state(Gst.State.NULL)
    return error


if __name__ == "__main__":
    sys.exit(main())
