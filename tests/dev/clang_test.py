#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library, gst-plugin and the elements compile under clang without a warning, whatever compiles the rest. Usage: clang_test.py BUILD SOURCE

As the build compiles them, but for what costs time and warns of nothing: optimisation and debug information. ccache, where it is there, makes the second run a matter of
seconds.
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

FOLDERS = ['hl-bridge', 'gst-plugin', 'elements']
# With an argument of their own; the output is ours.
DROPPED = {'-o', '-MF', '-MQ', '-MT'}


def clang_command(entry, output):
    """The command of a compile_commands.json entry for clang, with its object in `output`."""
    words = iter(shlex.split(entry['command']))
    compiler = next(words)
    if pathlib.PurePath(compiler).name == 'ccache':
        next(words)
    command = [*([shutil.which('ccache')] if shutil.which('ccache') else []), 'clang++', '-Werror']
    for word in words:
        if word in DROPPED:
            next(words)
        elif word not in ('-MD', '-MMD') and not word.startswith(('-O', '-g', '-fsanitize', '-fdiagnostics-color')):
            command.append(word)
    return [*command, '-O0', '-o', output]


def compile_one(entry):
    """(file, what clang said, or '' where it is content)"""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(clang_command(entry, os.path.join(folder, 'object.o')), cwd=entry['directory'], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return entry['file'], ''
    return entry['file'], done.stderr or f'clang++ ended with status {done.returncode}'


def main():
    build, source = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    entries = {}
    for entry in json.loads((build / 'compile_commands.json').read_text(encoding='utf-8')):
        path = pathlib.Path(os.path.normpath(os.path.join(entry['directory'], entry['file'])))
        if path.is_relative_to(source) and path.relative_to(source).parts[0] in FOLDERS:
            entries.setdefault(path, entry)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(compile_one, entries.values()))
    for number, (file, said) in enumerate(results, 1):
        print(f'{"not ok" if said else "ok"} {number} - {pathlib.PurePath(file).name}')
        if said:
            print('\n'.join('# ' + line for line in said.splitlines()))
    print(f'1..{len(results)}')
    missing = [folder for folder in FOLDERS if not any(path.relative_to(source).parts[0] == folder for path in entries)]
    if missing:
        print(f'Bail out! nothing of {" and ".join(missing)} is in {build}/compile_commands.json')
    return 1 if missing or any(said for _, said in results) else 0


if __name__ == '__main__':
    sys.exit(main())
