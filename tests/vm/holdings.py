# SPDX-License-Identifier: LGPL-2.1-or-later
"""What this process, and this machine, hold."""

import collections
import contextlib
import os
import pathlib
import re
import sys

import kernelwitness


def dma_bufs():
    """All dma-bufs of this machine, as the kernel counts them."""
    return len(kernelwitness.dmabufs())


def descriptors():
    """How many descriptors this process has open, by what they are."""
    found = collections.Counter()
    for entry in os.scandir('/proc/self/fd'):
        try:
            found[re.sub(r'\d+', 'N', os.readlink(entry.path))] += 1
        except FileNotFoundError:       # the one that reads the directory
            continue
    return found


def anonymous_memory():
    """Bytes of this process's own memory; host pages are shared memory and counted as dma-bufs."""
    status = pathlib.Path('/proc/self/status').read_text(encoding='ascii')
    return int(re.search(r'RssAnon:\s+(\d+) kB', status).group(1)) * 1024


def tell_threads():
    """Where in the kernel each thread of this process is, on stderr: for a line that stands still."""
    for task in pathlib.Path('/proc/self/task').iterdir():
        with contextlib.suppress(OSError):      # the thread has ended
            comm, stack = ((task / name).read_text(encoding='ascii', errors='replace').strip() for name in ('comm', 'stack'))
            print(f'thread {task.name} ({comm}):', *(frame.removeprefix('[<0>] ') for frame in stack.splitlines()), sep='\n    ', file=sys.stderr)
