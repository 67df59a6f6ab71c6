# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel says about dma-bufs and displays, in debugfs: witnesses that know nothing of our counters."""

import dataclasses
import os
import pathlib
import re

DEBUG = pathlib.Path('/sys/kernel/debug')


@dataclasses.dataclass
class DmaBuf:
    holders: int            # descriptors and importers
    exporter: str
    devices: set            # that are attached; drivers on vb2-vmalloc hold a dma-buf without


def dmabufs():
    """{inode: DmaBuf} of all there are."""
    out, last = {}, None
    for line in (DEBUG / 'dma_buf' / 'bufinfo').read_text(encoding='utf-8').splitlines():
        if found := re.match(r'\d{8}\t[0-9a-f]{8}\t[0-9a-f]{8}\t(\d{8})\t(\S+)\t(\d+)\t', line):  # size flags mode count exp_name ino name
            last = out[int(found.group(3))] = DmaBuf(int(found.group(1)), found.group(2), set())
        elif found := re.match(r'\t(\S+)$', line):
            last.devices.add(found.group(1))
    return out


def imported_by(device):
    """Inodes of the dma-bufs that this device is attached to."""
    return {inode for inode, one in dmabufs().items() if device in one.devices}


def held():
    """Inodes of the dma-bufs that somebody holds besides the one descriptor of their exporter."""
    return {inode for inode, one in dmabufs().items() if one.holders > 1}


class Card:
    """A DRM card, by the variable that names its node."""

    def __init__(self, variable):
        minor = re.search(r'\d+$', os.environ[variable]).group()
        self.directory = DEBUG / 'dri' / minor
        # "vkms dev=vkms unique=vkms"
        self.driver, device = re.match(r'(\S+) dev=(\S+)', (self.directory / 'name').read_text(encoding='ascii')).groups()
        self.device = device

    def scanned_out(self):
        """(pixel format, {whether its memory is imported: yes, no}) of the frame buffer on the screen."""
        for plane in re.split(r'^(?=plane\[|crtc\[)', (self.directory / 'state').read_text(encoding='utf-8'), flags=re.MULTILINE):
            if plane.startswith('plane[') and not re.search(r'^\tfb=0$', plane, re.MULTILINE):
                return re.search(r'format=(\w+)', plane).group(1), set(re.findall(r'imported=(\w+)', plane))
        raise AssertionError(f'{self.driver} shows nothing')

    def crc(self):
        """Checksum of the picture that leaves for the screen. The first one may be of a picture that is on its way out."""
        (self.directory / 'crtc-0' / 'crc' / 'control').write_text('auto', encoding='ascii')
        with open(self.directory / 'crtc-0' / 'crc' / 'data', 'rb', buffering=0) as data:
            return [data.read(64).split()[1] for _ in range(2)][-1]
