# SPDX-License-Identifier: LGPL-2.1-or-later
"""ONNX Runtime sessions for the programs and tests here."""

import contextlib
import os
import sys

import onnxruntime


@contextlib.contextmanager
def _without_stderr():
    """Debian 13's ONNX Runtime 1.21 registers ONNX's schemas twice when its first session
    starts, and writes about 1100 lines "Schema error: ... already registered" to file
    descriptor 2. They mean nothing; errors of a session still come as exceptions."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def session(path):
    """A session on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with _without_stderr():
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
