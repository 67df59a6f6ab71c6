# SPDX-License-Identifier: LGPL-2.1-or-later
"""Seeds of fuzzers, kept as files and made by a script: [--check] DIRECTORY writes them there, or compares them instead."""

import pathlib
import sys


def main(seeds):
    """`seeds`: content by file name below the directory. Returns the exit status."""
    check, directory = sys.argv[1] == '--check', pathlib.Path(sys.argv[-1])
    if not check:
        for name, content in seeds.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
        return 0
    found = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob('*') if path.is_file()}
    different = sorted(name for name in found.keys() | seeds.keys() if found.get(name) != seeds.get(name))
    print('\n'.join(f'{name} is not what the script makes' for name in different))
    return 1 if different else 0
