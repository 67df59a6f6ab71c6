# SPDX-License-Identifier: LGPL-2.1-or-later
"""./dev vm as a user calls it, for tests of itself that boot machines of their own. The test program's last argument is the source root."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(sys.argv.pop())
SECONDS = 400


def command(*arguments):
    return [str(TOP / 'dev'), 'vm', *arguments]


def descendants(pid):
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        for child in (task / 'children').read_text(encoding='ascii').split():
            yield pathlib.Path('/proc', child)
            yield from descendants(child)


def programs(pid, name):
    """Of the descendants of a process those that run a program whose file is so called."""
    return [path for path in descendants(pid) if pathlib.Path((path / 'cmdline').read_text(encoding='utf-8').split('\0')[0]).name == name]


def wait_until_booting(process):
    """Until ./dev vm has said what it boots on its standard error."""
    next(line for line in process.stderr if line.startswith(b'[vm] Linux'))


class TestCase(unittest.TestCase):
    """Each test with a directory of its own, and nothing left in $TMPDIR after it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.temporary = self.directory / 'temporary'
        self.temporary.mkdir()
        self.environment = os.environ | {'TMPDIR': str(self.temporary)}

    def tearDown(self):
        self.assertEqual(list(self.temporary.iterdir()), [], 'something is left over')

    def vm(self, *arguments, stdin=b'', **variables):
        return subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=SECONDS, check=False, cwd=self.directory, env=self.environment | variables)
