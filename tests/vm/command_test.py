#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""./dev vm: what goes in and comes out of the machine, and how it ends when things go wrong. Boots machines of its own. Usage: command_test.py SOURCE-ROOT"""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import unittest

import vmcommand
from vmcommand import SECONDS, command


def read_terminal(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:                     # EIO: nobody has it open any more
        return b''


class Command(vmcommand.TestCase):
    def test_streams_status_directory_arguments_and_results(self):
        script = 'tr a-z A-Z; echo "$1 in $PWD, $HL_TEST" >&2; echo kept >"$HL_VM_RESULTS/file"; touch "$0"; uname -r; exit 7'
        written, results, text = self.directory / 'written', self.directory / 'results', b'abc\n' * 100_000
        done = self.vm('--results', str(results), '--', 'bash', '-c', script, str(written), 'a  b', stdin=text, HL_TEST='it\'s "here"', HL_CWD=str(self.directory))
        self.assertEqual(done.returncode, 7, done.stderr)
        kernel = done.stdout[len(text):].decode().strip()
        self.assertEqual(done.stdout[:len(text)], text.upper())
        messages = done.stderr.decode()
        self.assertIn(f'a  b in {self.directory}, it\'s "here"\n', messages)
        self.assertIn(f'Linux {kernel}, QEMU ', messages)
        self.assertGreaterEqual(tuple(int(part) for part in kernel.split('+')[0].split('.')[:2]), (7, 2))
        self.assertEqual((results / 'file').read_text(encoding='ascii'), 'kept\n')
        self.assertFalse(written.exists(), "the guest wrote into the host's file system")

    def test_a_warning_of_the_kernel_fails_a_command_that_succeeded(self):
        done = self.vm('--', 'sh', '-c', 'echo "WARNING: CPU: 0 PID: 1 at tests/vm" >/dev/kmsg')
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b'[vm] error: the kernel complained:\n  WARNING: CPU: 0 PID: 1 at tests/vm\n', done.stderr)

    def test_a_dead_kernel_is_told_from_a_failed_command(self):
        done = self.vm('--', 'sh', '-c', 'echo c >/proc/sysrq-trigger')
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b'error: the machine stopped before the command had ended', done.stderr)
        self.assertIn(b'Kernel panic - not syncing', done.stderr)

    def test_shell(self):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
        with subprocess.Popen(command('--shell'), stdin=theirs, stdout=theirs, stderr=theirs, env=self.environment) as process:
            os.close(theirs)
            said = b''
            while data := read_terminal(ours):
                said += data
                if said.endswith(b'# ') and b'stty' not in said:
                    os.write(ours, b'stty size; tty; exit 5\n')
            self.assertEqual(process.wait(timeout=SECONDS), 5, said)
        os.close(ours)
        self.assertRegex(said, rb'33 77\r\n/dev/hvc0\r\n')

    def test_time_is_bounded(self):
        done = self.vm('--timeout', '2', '--', 'true')
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertIn(b'not done within 2 s', done.stderr)

    def test_an_interrupt_ends_the_machine(self):
        with subprocess.Popen(command('--', 'true'), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, env=self.environment) as process:
            vmcommand.wait_until_booting(process)
            emulators = vmcommand.programs(process.pid, 'qemu-system-x86_64')
            self.assertEqual(len(emulators), 1)
            os.killpg(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(timeout=60), 130)
        self.assertFalse(emulators[0].exists())


if __name__ == '__main__':
    unittest.main(verbosity=2)
