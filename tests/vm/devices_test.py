#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine has what its table of devices says, and the kernel's own interfaces agree."""

import ctypes
import fcntl
import os
import pathlib
import re
import subprocess
import unittest

VIDIOC_QUERYCAP = 0x80685600
CAPTURE, OUTPUT, CAPTURE_MPLANE, OUTPUT_MPLANE, M2M = 0x1, 0x2, 0x1000, 0x2000, 0x8000
DRM_IOCTL_VERSION = 0xC0406400


class DrmVersion(ctypes.Structure):
    _fields_ = [('numbers', ctypes.c_int * 3), ('name_length', ctypes.c_size_t), ('name', ctypes.c_char_p), ('date_length', ctypes.c_size_t), ('date', ctypes.c_char_p),
                ('description_length', ctypes.c_size_t), ('description', ctypes.c_char_p)]


def open_node(variable):
    return os.open(os.environ[variable], os.O_RDWR)


def video_capabilities(variable):
    """Driver, and what this node can do, of a V4L2 node."""
    node = open_node(variable)
    answer = fcntl.ioctl(node, VIDIOC_QUERYCAP, bytes(104))
    os.close(node)
    return answer[:16].rstrip(b'\0').decode(), int.from_bytes(answer[88:92], 'little')


def drm_driver(variable):
    node = open_node(variable)
    name = ctypes.create_string_buffer(32)
    version = DrmVersion(name_length=31, name=ctypes.cast(name, ctypes.c_char_p))
    fcntl.ioctl(node, DRM_IOCTL_VERSION, version)
    os.close(node)
    return name.value.decode()


def controls(variable):
    return subprocess.run(['v4l2-ctl', '-d', os.environ[variable], '--list-ctrls'], capture_output=True, text=True, check=True).stdout


class Devices(unittest.TestCase):
    # What the start script mounts; a mount(8) that is not root's, where a user started the machine, would leave all of it out.
    def test_file_systems(self):
        mounted = {tuple(line.split()[1:3]) for line in pathlib.Path('/proc/mounts').read_text(encoding='ascii').splitlines()}
        for path, kind in {'/sys/kernel/debug': 'debugfs', '/sys/kernel/config': 'configfs', '/dev/pts': 'devpts', '/dev/shm': 'tmpfs', '/dev/hugepages': 'hugetlbfs'}.items():
            with self.subTest(path):
                self.assertIn((path, kind), mounted)

    def test_vivid_has_four_cameras_and_four_outputs(self):
        for variable, kind in {
                'VIVID_VMALLOC': CAPTURE, 'VIVID_VMALLOC_OUT': OUTPUT, 'VIVID_CONTIG': CAPTURE, 'VIVID_CONTIG_OUT': OUTPUT, 'VIVID_VMALLOC_MPLANE': CAPTURE_MPLANE,
                'VIVID_VMALLOC_MPLANE_OUT': OUTPUT_MPLANE, 'VIVID_CONTIG_MPLANE': CAPTURE_MPLANE, 'VIVID_CONTIG_MPLANE_OUT': OUTPUT_MPLANE}.items():
            with self.subTest(variable):
                driver, able = video_capabilities('HL_VM_' + variable)
                self.assertEqual((driver, able & 0x3003), ('vivid', kind))
        self.assertEqual(os.environ['HL_VM_VIVID_VMALLOC'], '/dev/video0')

    def test_vivid_can_be_told_to_fail(self):
        text = controls('HL_VM_VIVID_VMALLOC')
        for name in ('disconnect', 'inject_vidioc_streamon_error', 'inject_vidioc_qbuf_error', 'percentage_of_dropped_buffers'):
            self.assertIn(name, text)

    def test_codecs(self):
        for variable, driver in {'VIM2M': 'vim2m', 'VICODEC_STATEFUL_ENCODER': 'vicodec', 'VICODEC_STATEFUL_DECODER': 'vicodec', 'VICODEC_STATELESS_DECODER': 'vicodec'}.items():
            with self.subTest(variable):
                name, able = video_capabilities('HL_VM_' + variable)
                self.assertEqual((name, able & (M2M | M2M >> 1) != 0), (driver, True))

    def test_cards(self):
        for variable, driver in {'VKMS': 'vkms', 'VGEM': 'vgem', 'VIRTIO_GPU': 'virtio_gpu', 'BOCHS': 'bochs-drm', 'CIRRUS': 'cirrus-qemu'}.items():
            with self.subTest(variable):
                self.assertEqual(drm_driver('HL_VM_' + variable), driver)

    def test_vkms_writes_back(self):
        card = os.path.basename(os.environ['HL_VM_VKMS'])
        self.assertTrue(list(pathlib.Path('/sys/class/drm').glob(card + '-Writeback-*')))

    def test_memory(self):
        for variable in ('HL_VM_UDMABUF', 'HL_VM_HEAP'):
            os.close(open_node(variable))
        free = int(re.search(r'HugePages_Free: +(\d+)', pathlib.Path('/proc/meminfo').read_text(encoding='ascii')).group(1))
        self.assertGreaterEqual(free, 48)

    def test_dma_bufs_can_be_watched(self):
        self.assertIn('Dma-buf Objects:', pathlib.Path('/sys/kernel/debug/dma_buf/bufinfo').read_text(encoding='utf-8'))


if __name__ == '__main__':
    unittest.main(verbosity=2)
