# SPDX-License-Identifier: LGPL-2.1-or-later
"""The controls by which vivid's cameras change and fail."""

import contextlib
import fcntl
import os
import struct
import subprocess

VIDIOC_S_CTRL = 0xC008561C
# Of vivid-ctrls.c; the buttons make it fail once, at once or at the next such call.
PERCENTAGE_DROPPED, DISCONNECT, BUFFER_FLAG_ERROR, REQBUFS_ERROR, QBUF_ERROR, STREAMON_ERROR, FATAL_ERROR = range(0x00f0f040, 0x00f0f047)
DV_TIMINGS_SIGNAL_MODE, DV_TIMINGS = 0x00f0f03e, 0x00f0f03f


def control(camera, identity, value=1):
    """Sets a control of a camera, through a descriptor of its own."""
    node = os.open(camera, os.O_RDWR)
    try:
        fcntl.ioctl(node, VIDIOC_S_CTRL, struct.pack('Ii', identity, value))
    finally:
        os.close(node)


@contextlib.contextmanager
def hdmi(camera):
    """The input of a camera that has a signal to lose, and takes any size."""
    subprocess.run(['v4l2-ctl', '-d', camera, '-i', '3', '--set-dv-bt-timings', 'index=0'], check=True, capture_output=True)
    try:
        yield
    finally:
        control(camera, DV_TIMINGS_SIGNAL_MODE, 0)
        subprocess.run(['v4l2-ctl', '-d', camera, '-i', '0'], check=True, capture_output=True)
