#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""./dev vm --gaudi2: how its processes end, and what becomes of a Gaudi that does nothing. Boots machines of its own. Usage: gaudi_command_test.py SOURCE-ROOT"""

import os
import select
import shutil
import signal
import subprocess
import unittest

import vmcommand

# What the guest says of a machine: the PCI functions above the Gaudi, the driver's words, its state.
LOOK = 'readlink -f "$(dirname "$(grep -l 0x1da3 /sys/bus/pci/devices/*/vendor)")"; dmesg | grep habanalabs; cat /sys/class/accel/accel*/device/status'


class GaudiCommand(vmcommand.TestCase):
    def booting(self):
        return subprocess.Popen(vmcommand.command('--gaudi2', '--', 'true'), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.environment)

    # The control of gaudi_boot_test.py: it is the chip that makes the driver content, nothing around it.
    def test_a_dead_gaudi_is_not_operational(self):
        done = self.vm('--gaudi2', '--topology', 'root-ports', '--gaudi-option=--dead', '--', 'sh', '-c', LOOK)
        self.assertIn(b'CPU boot ready timeout', done.stdout)
        self.assertIn(b'NOT usable', done.stdout)
        self.assertNotIn(b'Operational', done.stdout)
        self.assertRegex(done.stdout, rb'^/sys/devices/pci0000:00/0000:00:[^/]*/0000:[^/]*\n', 'the Gaudi is not right below a root port')
        self.assertNotEqual(done.returncode, 125, done.stderr)

    # What docs/patches/0002 mends, and why the product registers for no timestamps. The process that exits leaves its registration to the reset that follows, where the kernel reads it after it was freed; that is
    # seen because freed pages are overwritten (init_on_free). When no complaint comes any more, the driver has been mended: the patch, this test and its program may go.
    def test_a_process_that_exits_with_a_timestamp_pending_breaks_the_kernel(self):
        exits = '"$HL_BUILD_DIR/tests/gaudi-emulator/guest/timestampexit"'
        until_a_trace = 'timeout 60 grep -am1 "end trace" /dev/kmsg'
        done = self.vm('--gaudi2', '--', 'sh', '-c', f'{exits} none && dmesg | grep -c "Going to reset device"; {exits} pending && {until_a_trace}', HL_VM_KERNEL='init_on_free=1')
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b', kernel parameters: init_on_free=1\n', done.stderr)
        self.assertRegex(done.stdout, rb'^not registered\n0\nregistered\n.*end trace')
        complaint = done.stderr[done.stderr.index(b'the kernel complained'):]
        self.assertRegex(complaint, rb'BUG: (kernel NULL pointer dereference|unable to handle page fault)|general protection fault')
        self.assertIn(b'wake_pending_user_interrupt_threads', complaint)

    def test_an_emulator_that_does_not_start_is_named(self):
        done = self.vm('--gaudi2', '--gaudi-option=--frob', '--', 'true')
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b'gaudi-emulator did not start', done.stderr)
        self.assertIn(b'there is no option --frob', done.stderr)

    def test_an_emulator_that_dies_is_named(self):
        with self.booting() as process:
            vmcommand.wait_until_booting(process)
            emulator, = vmcommand.programs(process.pid, 'gaudi-emulator')
            os.kill(int(emulator.name), signal.SIGKILL)
            said = process.stderr.read()
            self.assertEqual(process.wait(timeout=vmcommand.SECONDS), 125, said)
        self.assertIn(b'gaudi-emulator ended with status -9', said)

    def test_all_die_with_whoever_started_them(self):
        with self.booting() as process:
            vmcommand.wait_until_booting(process)
            mine = vmcommand.programs(process.pid, 'gaudi-emulator') + vmcommand.programs(process.pid, 'qemu-system-x86_64')
            self.assertEqual(len(mine), 2)
            handles = [os.pidfd_open(int(path.name)) for path in mine]
            starter, = {int(path.read_text(encoding='ascii').split()[3]) for path in (one / 'stat' for one in mine)}
            os.kill(starter, signal.SIGKILL)
            for handle in handles:
                self.assertTrue(select.select([handle], [], [], 20)[0])
                os.close(handle)
        for left in self.temporary.iterdir():        # nobody was there to take it away
            shutil.rmtree(left)


if __name__ == '__main__':
    unittest.main(verbosity=2)
