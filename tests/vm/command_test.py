#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""./dev vm: what goes in and comes out of the machine, and how it ends when things go wrong. Boots machines of its own. Usage: command_test.py SOURCE-ROOT"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(sys.argv.pop(1))
SECONDS = 400


def command(*arguments):
    return [str(TOP / 'dev'), 'vm', *arguments]


def vm(*arguments, **options):
    return subprocess.run(command(*arguments), capture_output=True, timeout=SECONDS, check=False, **options)


def left_over(before):
    """Shared directories and emulators that were not there before."""
    mine = {path for path in pathlib.Path('/tmp').glob('hl-vm-*') if path.stat().st_uid == os.getuid()}
    return mine - before


def descendants(pid):
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        for child in (task / 'children').read_text(encoding='ascii').split():
            yield pathlib.Path('/proc', child)
            yield from descendants(child)


class Command(unittest.TestCase):
    def setUp(self):
        self.before = left_over(set())

    def tearDown(self):
        self.assertEqual(left_over(self.before), set())

    def test_streams_status_directory_arguments_and_results(self):
        with tempfile.TemporaryDirectory() as directory:
            script = 'tr a-z A-Z; echo "$1 in $PWD, $HL_TEST" >&2; echo kept >"$HL_VM_RESULTS/file"; touch "$0"; uname -r; exit 7'
            written = pathlib.Path(directory) / 'written'
            text = b'abc\n' * 100_000
            done = vm('--results', directory + '/results', '--', 'bash', '-c', script, str(written), 'a  b', input=text, cwd=directory, env=os.environ | {'HL_TEST': 'it\'s "here"', 'HL_CWD': directory})
            self.assertEqual(done.returncode, 7, done.stderr)
            kernel = done.stdout[len(text):].decode().strip()
            self.assertEqual(done.stdout[:len(text)], text.upper())
            messages = done.stderr.decode()
            self.assertIn(f'a  b in {directory}, it\'s "here"\n', messages)
            self.assertIn(f'Linux {kernel}, QEMU ', messages)
            self.assertGreaterEqual(tuple(int(part) for part in kernel.split('+')[0].split('.')[:2]), (7, 2))
            self.assertEqual((pathlib.Path(directory) / 'results' / 'file').read_text(encoding='ascii'), 'kept\n')
            self.assertFalse(written.exists(), "the guest wrote into the host's file system")

    def test_a_warning_of_the_kernel_fails_a_command_that_succeeded(self):
        done = vm('--', 'sh', '-c', 'echo "WARNING: CPU: 0 PID: 1 at tests/vm" >/dev/kmsg', stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 125)
        self.assertIn(b'[vm] error: the kernel complained:\n  WARNING: CPU: 0 PID: 1 at tests/vm\n', done.stderr)

    def test_a_dead_kernel_is_told_from_a_failed_command(self):
        done = vm('--', 'sh', '-c', 'echo c >/proc/sysrq-trigger', stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 125)
        self.assertIn(b'error: the machine stopped before the command had ended', done.stderr)
        self.assertIn(b'Kernel panic - not syncing', done.stderr)

    def test_time_is_bounded(self):
        done = vm('--timeout', '2', '--', 'true', stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 124)
        self.assertIn(b'not done within 2 s', done.stderr)

    def test_an_interrupt_ends_the_machine(self):
        with subprocess.Popen(command('--', 'sh', '-c', 'echo up; exec cat'), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            self.assertEqual(process.stdout.readline(), b'up\n')
            emulators = [path for path in descendants(process.pid) if 'qemu-system' in (path / 'cmdline').read_text(encoding='utf-8')]
            self.assertEqual(len(emulators), 1)
            os.killpg(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(timeout=20), 130)
        self.assertFalse(emulators[0].exists())


if __name__ == '__main__':
    unittest.main(verbosity=2)
