#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's boot ends where something cannot be mounted, and says what. Its scripts run here, on programs that only write down how they were called."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import machine

STUB = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "$*" in *"$REFUSED"*) echo "no such thing" >&2; exit 32;; esac
"""
NOTHING = 'nothing is called so'


class Boot(unittest.TestCase):
    def run_script(self, shell, text, refused):
        """(what it said, the calls that it made)"""
        with tempfile.TemporaryDirectory() as directory:
            calls = pathlib.Path(directory, 'calls')
            for name in ('busybox', 'mount', 'modprobe', 'mkdir'):
                program = pathlib.Path(directory, name)
                program.write_text(STUB, encoding='ascii')
                program.chmod(0o755)
            environment = os.environ | {'PATH': directory, 'CALLS': str(calls), 'REFUSED': refused, 'GUEST': str(machine.GUEST)}
            done = subprocess.run([shell, '-c', text], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            return done.stdout, calls.read_text(encoding='utf-8').splitlines()

    def test_a_root_that_cannot_be_mounted(self):
        script = '. "$GUEST/mount-root"'
        for refused in ('root /lower/root', 'kit /lower/kit', 'upper /upper', 'overlay /new', 'run /new/run', '/share /new/run/hl-vm/share'):
            with self.subTest(refused):
                said, calls = self.run_script('/bin/sh', script, refused)
                self.assertIn('hl-vm: the root could not be put together', said)
                self.assertIn(refused, calls[-2])
                self.assertEqual(calls[-1], 'busybox poweroff -f')
        self.assertIn('switch_root', self.run_script('/bin/sh', script, NOTHING)[1][-1])

    def test_a_file_system_that_cannot_be_mounted(self):
        script = 'tell() { echo "told: $*"; }; . "$GUEST/mounts"; echo on'
        for refused in ('devpts /dev/pts', 'shm /dev/shm', 'debugfs /sys/kernel/debug', 'configfs /sys/kernel/config', 'hugetlbfs /dev/hugepages'):
            with self.subTest(refused):
                said, calls = self.run_script('/bin/bash', script, refused)
                self.assertRegex(said, rf'^told: failed mount -t .*{refused} \(status 32\): no such thing\n$')
                self.assertEqual(calls[-1], 'busybox poweroff -f')
        said, calls = self.run_script('/bin/bash', script, NOTHING)
        self.assertEqual((said, calls[-1]), ('on\n', 'mount -t hugetlbfs hugetlbfs /dev/hugepages'))

    def test_the_host_says_it(self):
        session = machine.Session(None, 0)
        session._read_control(b'booted 4.1\n')
        with self.assertRaisesRegex(machine.MachineError, 'gave up its boot: mount -t debugfs .* no such thing'):
            session._read_control(b'failed mount -t debugfs debugfs /x (status 32): no such thing\n')


if __name__ == '__main__':
    unittest.main()
