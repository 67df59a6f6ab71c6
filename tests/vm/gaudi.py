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
FUNCTIONS = {'gaudi': '--socket', 'capture': '--capture', 'scanout': '--scanout'}
TOPOLOGIES = ('switch', 'root-ports')


class EmulatorError(Exception):
    """The emulator did not come up."""


def die_with_parent():
    """Of a child, before it becomes another program: it ends when its parent does, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclasses.dataclass
class Settings:
    """What a machine's Gaudi is like."""
    chip: str = 'gaudi2'
    topology: str = 'switch'
    options: tuple = ()                 # more of gaudi-emulator's: faults, --null, --dead


class Emulator:
    """Runs from start() to stop()."""

    def __init__(self, settings, log):
        self.settings, self._log = settings, pathlib.Path(log)
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix='hl-gaudi-'))
        self._process = None

    def start(self):
        """Returns when QEMU may connect."""
        program = pathlib.Path(os.environ['HL_BUILD_DIR'], 'tests', 'gaudi-emulator', 'main', 'gaudi-emulator')
        command = [str(program), '--chip', self.settings.chip, *self.settings.options]
        for name, option in FUNCTIONS.items():
            command += [option, str(self._socket(name))]
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        if self._process.stdout.readline() != b'ready\n':
            raise EmulatorError(f'gaudi-emulator did not start (status {self._process.wait()}):\n{self.last_words()}')

    def arguments(self):
        """QEMU's, for the three functions and what they sit below."""
        arguments = self._switch() if self.settings.topology == 'switch' else self._root_ports()
        for name in FUNCTIONS:
            arguments += ['-device', json.dumps({'driver': 'vfio-user-pci', 'id': name, 'bus': f'port-{name}', 'socket': {'type': 'unix', 'path': str(self._socket(name))}})]
        return arguments

    @staticmethod
    def _switch():
        """One switch: below it, peers reach each other without the root complex."""
        arguments = ['-device', 'pcie-root-port,id=root,chassis=1', '-device', 'x3130-upstream,id=upstream,bus=root']
        for number, name in enumerate(FUNCTIONS):
            arguments += ['-device', f'xio3130-downstream,id=port-{name},bus=upstream,chassis={number + 2}']
        return arguments

    @staticmethod
    def _root_ports():
        """A root port each: between them lies a host bridge that the kernel does not know (drivers/pci/p2pdma.c pci_p2pdma_whitelist)."""
        return [word for number, name in enumerate(FUNCTIONS) for word in ('-device', f'pcie-root-port,id=port-{name},chassis={number + 1}')]

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
