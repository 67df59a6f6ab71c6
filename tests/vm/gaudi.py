# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulated Gaudi of a virtual machine, the cards beside it, and where they sit: a process of its own (tests/gaudi-emulator) that QEMU reaches through sockets."""

import ctypes
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
CHIPS = {'gaudi': 'first Gaudi', 'gaudi2': 'Gaudi2'}
DEFAULT_CHIP = 'gaudi2'
FUNCTIONS = {'gaudi': '--socket', 'capture': '--capture', 'scanout': '--scanout'}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Where the three functions sit, and what else of the machine decides about traffic between them."""
    switch: bool                        # below one switch, where peers reach each other without the root complex; else a root port each
    cpu: str = 'max'
    devices: tuple = ()                 # more of QEMU's arguments
    kernel: str = ''                    # parameters of the guest's kernel


# Across root ports the kernel allows peer-to-peer only below host bridges that it knows, of which QEMU's is none, and on AMD's Zen (drivers/pci/p2pdma.c pci_p2pdma_whitelist,
# cpu_supports_p2pdma()).
TOPOLOGIES = {
    'switch': Topology(switch=True),
    'root-ports': Topology(switch=False),
    'root-ports-zen': Topology(switch=False, cpu='EPYC'),
    'iommu': Topology(switch=True, devices=('-device', 'intel-iommu,caching-mode=on,intremap=off'), kernel='intel_iommu=on'),
}
DEFAULT_TOPOLOGY = 'switch'


class EmulatorError(Exception):
    """The emulator did not come up."""


def die_with_parent():
    """Of a child, before it becomes another program: it ends when its parent does, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclasses.dataclass
class Settings:
    """What a machine's Gaudi is like."""
    chip: str = DEFAULT_CHIP
    topology: str = DEFAULT_TOPOLOGY
    options: tuple = ()                 # more of gaudi-emulator's: faults, --null, --film; {build} in them is the build directory


class Emulator:
    """Runs from start() to stop()."""

    def __init__(self, settings, log):
        self.settings, self._log = settings, pathlib.Path(log)
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix='hl-gaudi-'))
        self._process = None

    def start(self):
        """Returns when QEMU may connect."""
        build = os.environ['HL_BUILD_DIR']
        program = pathlib.Path(build, 'tests', 'gaudi-emulator', 'main', 'gaudi-emulator')
        command = [str(program), '--chip', self.settings.chip, *(option.replace('{build}', build) for option in self.settings.options)]
        for name, option in FUNCTIONS.items():
            command += [option, str(self._socket(name))]
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        if self._process.stdout.readline() != b'ready\n':
            raise EmulatorError(f'gaudi-emulator did not start (status {self._process.wait()}):\n{self.last_words()}')

    @property
    def topology(self):
        return TOPOLOGIES[self.settings.topology]

    def arguments(self):
        """QEMU's, for the three functions and what they sit below. A virtual IOMMU has to come before what it translates for."""
        arguments = [*self.topology.devices]
        if self.topology.switch:
            arguments += ['-device', 'pcie-root-port,id=root,chassis=1', '-device', 'x3130-upstream,id=upstream,bus=root']
        port = 'xio3130-downstream,bus=upstream' if self.topology.switch else 'pcie-root-port'
        for number, name in enumerate(FUNCTIONS):
            arguments += ['-device', f'{port},id=port-{name},chassis={number + 2}',
                          '-device', json.dumps({'driver': 'vfio-user-pci', 'id': name, 'bus': f'port-{name}', 'socket': {'type': 'unix', 'path': str(self._socket(name))}})]
        return arguments

    def stop(self):
        """Ends it. What it wrote stays where it is."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def failure(self):
        """In words, if it ended by itself with an error."""
        status = self._process.poll() if self._process else None
        return f'gaudi-emulator ended with status {status}:\n{self.last_words()}' if status else ''

    def last_words(self):
        lines = self._log.read_text(encoding='utf-8', errors='replace').splitlines()
        return '\n'.join('  ' + line for line in lines[-40:])

    def _socket(self, name):
        return self._directory / f'{name}.sock'
