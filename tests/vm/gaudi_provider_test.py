#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""gst-device-monitor-1.0 lists the emulated Gaudi of the kernel's driver, and opens none of its nodes: the driver's own count of openings and the kernel's notices of opened files say so."""

import ctypes
import fcntl
import os
import re
import shlex
import struct
import subprocess
import unittest

NODE, CONTROL, PCI = (os.environ[name] for name in ('HL_VM_GAUDI', 'HL_VM_GAUDI_CONTROL', 'HL_VM_GAUDI_PCI'))
UDMABUF = os.environ['HL_VM_UDMABUF']
CHIP = {'gaudi': 'Gaudi', 'gaudi2': 'Gaudi2'}[os.environ['HL_VM_GAUDI_CHIP']]
LIBC = ctypes.CDLL(None, use_errno=True)
IN_OPEN = 0x20                          # sys/inotify.h
IN_NONBLOCK = os.O_NONBLOCK
INFO = 3 << 30 | 24 << 16 | ord('d') << 8 | 0x40        # drm/habanalabs_accel.h DRM_IOCTL_HL_INFO
OPEN_STATS = 18


def opened_so_far():
    """How often somebody opened the compute node (HL_INFO_OPEN_STATS, by the control node)."""
    answer = ctypes.create_string_buffer(24)
    node = os.open(CONTROL, os.O_RDWR)
    try:
        fcntl.ioctl(node, INFO, struct.pack('=QIIII', ctypes.addressof(answer), len(answer), OPEN_STATS, 0, 0))
    finally:
        os.close(node)
    return struct.unpack_from('=Q', answer.raw)[0]


class Watch:
    """Tells which of some files were opened, by anybody."""

    def __init__(self, *files):
        self.descriptor = LIBC.inotify_init1(IN_NONBLOCK)
        assert self.descriptor >= 0
        self.files = {LIBC.inotify_add_watch(self.descriptor, file.encode(), IN_OPEN): file for file in files}
        assert -1 not in self.files

    def opened(self):
        try:
            events = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return set()
        out, at = set(), 0
        while at < len(events):
            watch, _, _, length = struct.unpack_from('=iIII', events, at)
            out.add(self.files[watch])
            at += 16 + length
        return out

    def close(self):
        os.close(self.descriptor)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


def listed(said):
    """{property: text} of the devices that were found."""
    return [dict(re.findall(r'^\t\t([\w.-]+) = (.*?)(?: \(g\w+\))?$', part, re.MULTILINE)) for part in said.split('Device found:')[1:]]


class Provider(unittest.TestCase):
    def test_lists_the_gaudi_without_opening_it(self):
        run('gst-inspect-1.0', 'habana')        # scans the plugins of the registry, which then are not to be opened again
        watch = Watch(NODE, CONTROL, UDMABUF)
        self.addCleanup(watch.close)
        before = opened_so_far()
        self.assertEqual(watch.opened(), {CONTROL}, 'the watch sees what is opened')
        devices = listed(run('gst-device-monitor-1.0', 'Gaudi'))
        self.assertEqual(watch.opened(), set())
        self.assertEqual(opened_so_far(), before)
        self.assertEqual(len(devices), 1)
        for field, expected in (('pci-address', PCI), ('device', PCI), ('device.path', NODE), ('chip', CHIP), ('stand-in', 'EMU'), ('simulated', 'false'),
                                ('driver', 'habanalabs'), ('status', 'Operational')):
            self.assertEqual(devices[0].get(field), expected, field)
        self.assertIn('emulated-gaudi', devices[0]['firmware-version'])
        self.assertIn('module-id', devices[0])

    def test_lists_it_while_somebody_owns_it(self):
        owner = os.open(NODE, os.O_RDWR)
        try:
            counted = opened_so_far()
            self.assertEqual([device['pci-address'] for device in listed(run('gst-device-monitor-1.0', 'Gaudi'))], [PCI])
            self.assertEqual(opened_so_far(), counted)
        finally:
            os.close(owner)

    def test_its_line_opens_it(self):
        before = opened_so_far()
        line = listed(run('gst-device-monitor-1.0', 'Gaudi'))[0]['launch-line']
        self.assertIn(f'device={PCI}', line)
        run(*shlex.split(line))
        self.assertGreater(opened_so_far(), before)


if __name__ == '__main__':
    unittest.main(verbosity=2)
