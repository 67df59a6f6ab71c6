#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that has no Gaudi: receives the frames of owner.py by descriptor and reads them where they lie.

Usage: receiver.py SOCKET. Prints a line of JSON a frame: its time, the inode of its memory (the owner prints the same: it is the same memory), whether it could be mapped, and the SHA-256 of
its pixels. Nothing to compile: python3-gi and gir1.2-gst-plugins-bad-1.0.
"""
import hashlib
import json
import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAllocators", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstAllocators, GstApp, GstVideo  # noqa: E402,F401


def pixels(buffer, caps):
    """The SHA-256 of what is seen, of each plane without the padding of its rows; None for memory that has no CPU mapping."""
    mapped, view = buffer.map(Gst.MapFlags.READ)
    if not mapped:
        return None
    try:
        info, digest = GstVideo.VideoInfo.new_from_caps(caps), hashlib.sha256()
        layout = GstVideo.buffer_get_video_meta(buffer) or info
        for plane in range(info.finfo.n_planes):  # of I420, what H.264 decoders give: a plane is a component of one byte a sample
            width, height = -(-info.width >> info.finfo.w_sub[plane]), -(-info.height >> info.finfo.h_sub[plane])
            for row in range(height):
                start = layout.offset[plane] + row * layout.stride[plane]
                digest.update(view.data[start:start + width])
        return digest.hexdigest()
    finally:
        buffer.unmap(view)


def report(sample):
    buffer = sample.get_buffer()
    inode = os.fstat(GstAllocators.fd_memory_get_fd(buffer.peek_memory(0))).st_ino
    digest = pixels(buffer, sample.get_caps())
    print(json.dumps({"pts": buffer.pts, "inode": inode, "mapped": digest is not None, "sha256": digest}), flush=True)


def on_event(_pad, info):
    if info.get_event().type == Gst.EventType.CAPS:  # the owner's first word to a new receiver
        print("connected", file=sys.stderr, flush=True)
    return Gst.PadProbeReturn.OK


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: receiver.py SOCKET")
    Gst.init(None)
    GstVideo.VideoMeta.get_info()  # unixfdsrc restores only metas that this process has registered
    pipeline = Gst.parse_launch("unixfdsrc name=source ! appsink name=sink sync=false")
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    source.set_property("socket-path", sys.argv[1])
    source.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, on_event)
    pipeline.set_state(Gst.State.PLAYING)
    while (sample := sink.pull_sample()) is not None:
        report(sample)
        del sample  # gives the frame back to the owner's pool
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    return f"error: {message.src.get_name()}: {message.parse_error()[0].message}" if message else None


if __name__ == "__main__":
    sys.exit(main())
