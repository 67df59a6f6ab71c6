#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints the files that Meson's introspection says are to be installed, as absolute paths."""

import json
import os
import subprocess
import sys

plan = json.loads(subprocess.run(['meson', 'introspect', '--installed', sys.argv[1]], check=True, capture_output=True, text=True).stdout)
for source, target in plan.items():
    if os.path.isdir(source):
        for directory, _, names in os.walk(source):
            for name in names:
                print(os.path.normpath(os.path.join(target, os.path.relpath(directory, source), name)))
    else:
        print(target)
