# SPDX-License-Identifier: LGPL-2.1-or-later
"""One virtual machine: QEMU over this file system, and the streams to and from it."""

import os
import pathlib
import re
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import gaudi
import kernellog

GUEST = pathlib.Path(__file__).with_name('guest')
BOOT_SECONDS = 300                      # a busy two-core machine without KVM needs a minute at most
HUGE_PAGES = 64                         # of 2 MiB, for importers that want contiguous memory
STOP_KEY = b'\x1d'                      # Ctrl-], of a terminal in raw mode

# What barks at a busy host: watchdogs of time; the framebuffer console, which gives a card 100 ms for a vertical blank (drm_crtc_wait_one_vblank()); and, without KVM, the calibration of the
# TSC (seen: a clock ten times too fast), where the ACPI timer needs none, and the boot's test of the interrupt timer.
QUIET = {'kvm': 'nowatchdog rcupdate.rcu_cpu_stall_timeout=300 drm_kms_helper.fbdev_emulation=0'}
QUIET['tcg'] = QUIET['kvm'] + ' clocksource=acpi_pm no_timer_check'

# Of this process's environment, what has no meaning in the guest.
NOT_FOR_GUEST = re.compile(r'^(DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|XDG_RUNTIME_DIR|XDG_SESSION_.*|DBUS_.*|SSH_.*|SHLVL|PWD|OLDPWD|_|TMPDIR|HL_VM_.*|HL_DEV_INSIDE|MESON_.*|MAKEFLAGS)$')


class MachineError(Exception):
    """The machine, not the command in it, failed."""


def accelerator():
    """kvm where it runs on hardware. A /dev/kvm on a processor without vmx or svm interprets instructions in the host kernel and stops at those that it does not know."""
    wanted = os.environ.get('HL_VM_ACCEL')
    if wanted:
        if wanted not in QUIET:
            raise MachineError(f'HL_VM_ACCEL is {wanted!r}: set it to kvm or tcg, or unset it')
        return wanted
    flags = re.search(r'^flags\s*:.*\b(vmx|svm)\b', pathlib.Path('/proc/cpuinfo').read_text(encoding='ascii', errors='replace'), re.MULTILINE)
    return 'kvm' if flags and os.access('/dev/kvm', os.R_OK | os.W_OK) else 'tcg'


class Machine:
    """Boots at start(); then events() tells what comes out of it, until it is stopped."""

    PORTS = ('out', 'err', 'in', 'log', 'control')

    def __init__(self, kit, memory, gaudi_settings=None):
        """`gaudi_settings` (gaudi.Settings): with an emulated Gaudi, a capture card and a scan-out engine."""
        self.kit, self.memory, self.gaudi_settings = pathlib.Path(kit), memory, gaudi_settings
        self.accel = accelerator()
        self.cpus = min(len(os.sched_getaffinity(0)), 4)
        self.kernel = (self.kit / 'kernel-release').read_text(encoding='ascii').strip()
        self.parameters = os.environ.get('HL_VM_KERNEL', '')
        self.log = kernellog.KernelLog()
        self.serial = bytearray()
        self.share = None
        self.emulator = None
        self.process = None
        self.ends = {}

    def describe(self):
        how = 'KVM' if self.accel == 'kvm' else 'software emulation (TCG)'
        devices = f', an emulated {gaudi.CHIPS[self.gaudi_settings.chip]} ({self.gaudi_settings.topology})' if self.gaudi_settings else ''
        parameters = f', kernel parameters: {self.parameters}' if self.parameters else ''
        return f'Linux {self.kernel}, QEMU {self.qemu_version()}, {how}, {self.cpus} CPUs, {self.memory} MB{devices}{parameters}'

    def qemu(self):
        """The emulator's command and environment: it is unpacked, not installed."""
        usr = self.kit / 'root' / 'usr'
        libraries = usr / 'lib' / 'x86_64-linux-gnu'
        environment = {'LD_LIBRARY_PATH': str(libraries), 'QEMU_MODULE_DIR': str(libraries / 'qemu'), 'PATH': os.environ['PATH'], 'LC_ALL': 'C'}
        return [str(usr / 'bin' / 'qemu-system-x86_64'), '-L', str(usr / 'share' / 'qemu'), '-L', str(usr / 'share' / 'seabios'), '-L', str(usr / 'lib' / 'ipxe' / 'qemu')], environment

    def cpu(self):
        """The processor. An emulated one does without AVX and FMA, which QEMU computes a lane at a time: the demo's model takes 22.6 s with them, 3.6 s with SSE (QEMU 11.1.3)."""
        model = self.emulator.topology.cpu if self.emulator else 'max'
        return model + (',-avx,-avx2,-fma,-f16c' if self.accel == 'tcg' else '')

    def qemu_version(self):
        command, environment = self.qemu()
        text = subprocess.run([command[0], '--version'], env=environment, capture_output=True, text=True, check=False).stdout
        return re.sub(r'^QEMU emulator version (\S+)[\s\S]*', r'\1', text)

    def prepare(self, command, variables=None):
        """Lays out the directory that host and guest share: what to run, where, and in which environment. An empty command is a shell."""
        self.share = pathlib.Path(tempfile.mkdtemp(prefix='hl-vm-'))
        (self.share / 'results').mkdir()
        for name in ('mount-root', 'start', 'mounts', 'devices'):
            shutil.copy(GUEST / name, self.share)
        kept = {name: value for name, value in os.environ.items() if re.fullmatch(r'[A-Za-z_]\w*', name) and not NOT_FOR_GUEST.match(name)}
        kept |= {'HL_VM_DIRECTORY': os.getcwd(), 'HL_VM': self.kernel} | ({'HL_VM_GAUDI_CHIP': self.gaudi_settings.chip} if self.gaudi_settings else {}) | (variables or {})
        (self.share / 'environment').write_text(''.join(f'export {name}={shlex.quote(value)}\n' for name, value in kept.items()), encoding='utf-8')
        (self.share / 'command').write_text(''.join(word + '\0' for word in command), encoding='utf-8')

    def start(self, ports):
        """Starts QEMU with these ports connected, and before it what it connects to."""
        if self.gaudi_settings:
            self.emulator = gaudi.Emulator(self.gaudi_settings, self.share / 'gaudi-emulator.log')
            try:
                self.emulator.start()
            except gaudi.EmulatorError as error:
                raise MachineError(str(error)) from error
        command, environment = self.qemu()
        theirs = []

        def channel(name):
            ours, other = socket.socketpair()
            theirs.append(other)
            self.ends[name] = ours
            return ['-chardev', f'socket,id={name},fd={other.fileno()}']

        share = 'local,security_model=none,multidevs=remap'
        command += ['-accel', 'tcg,thread=multi,tb-size=512' if self.accel == 'tcg' else self.accel, '-cpu', self.cpu(), '-smp', str(self.cpus),
                    '-m', f'{self.memory}M', '-machine', 'q35,memory-backend=memory' if self.emulator else 'q35',
                    *(['-object', f'memory-backend-memfd,id=memory,size={self.memory}M,share=on', *self.emulator.arguments()] if self.emulator else []),
                    '-no-user-config', '-nodefaults', '-no-reboot', '-display', 'none', '-monitor', 'none',
                    '-kernel', str(self.kit / 'vmlinuz'), '-initrd', str(self.kit / 'initramfs'),
                    '-append', f'console=ttyS0 loglevel=5 log_buf_len=16M panic=-1 hugepages={HUGE_PAGES} {QUIET[self.accel]} {self.emulator.topology.kernel if self.emulator else ""} {self.parameters}',
                    '-fsdev', f'{share},id=root,path=/,readonly=on', '-device', 'virtio-9p-pci,fsdev=root,mount_tag=root',
                    '-fsdev', f'{share},id=kit,path={self.escaped(self.kit / "root")},readonly=on', '-device', 'virtio-9p-pci,fsdev=kit,mount_tag=kit',
                    '-fsdev', f'{share},id=share,path={self.escaped(self.share)}', '-device', 'virtio-9p-pci,fsdev=share,mount_tag=share',
                    '-device', 'virtio-gpu-pci', '-device', 'bochs-display', '-device', 'cirrus-vga',
                    *channel('serial'), '-serial', 'chardev:serial', '-device', 'virtio-serial-pci']
        for name in ports:
            command += [*channel(name), '-device', 'virtconsole,chardev=tty' if name == 'tty' else f'virtserialport,chardev={name},name={name}']
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[end.fileno() for end in theirs],
                                        start_new_session=True, preexec_fn=gaudi.die_with_parent)
        for end in theirs:
            end.close()

    @staticmethod
    def escaped(path):
        """As a value of a QEMU option."""
        return str(path).replace(',', ',,')

    def stop(self):
        """Ends QEMU at once: nothing in the guest is worth an orderly shutdown."""
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.emulator:
            self.emulator.stop()
        for end in self.ends.values():
            end.close()
        self.ends = {}

    def clean(self):
        self.stop()
        if self.share:
            shutil.rmtree(self.share, ignore_errors=True)

    def emulator_failure(self):
        """In words, if there is an emulator and it has ended with an error while the machine ran."""
        return self.emulator.failure() if self.emulator else ''

    def last_words(self):
        """Of the console, for a machine that died, and of the emulator's if that died before it."""
        lines = ['  ' + line for line in self.serial.decode(errors='replace').replace('\r', '').splitlines()[-60:]]
        if failure := self.emulator_failure():
            lines.append(failure)
        return '\n'.join(lines)


class Session:
    """A running machine and where its streams go."""

    def __init__(self, machine, seconds, out=1, err=2, stdin=None, on_control=None):
        self.machine, self.seconds, self.on_control = machine, seconds, on_control
        self.sinks = {'out': out, 'err': err, 'tty': out}
        self.stdin = stdin
        self.status = None
        self.ready = False
        self._control = b''
        self._selector = selectors.PollSelector()   # takes regular files and /dev/null too

    def run(self):
        """Relays until the command has ended and everything it wrote has arrived. Returns its exit status; TimeoutError and MachineError are told apart."""
        start = time.monotonic()
        for name, end in self.machine.ends.items():
            if name != 'in':
                self._selector.register(end, selectors.EVENT_READ, name)
        self._selector.register(self.machine.process.stdout, selectors.EVENT_READ, 'qemu')
        ends = self.machine.ends
        self._input = Input(self._selector, self.stdin, ends.get('tty', ends['in']))
        complaint = ''
        while not (self.status is not None and self.machine.log.ended):
            limit = self.seconds if self.ready or not self.seconds else min(self.seconds, BOOT_SECONDS)
            left = limit - (time.monotonic() - start) if limit else None
            if left is not None and left <= 0:
                if self.ready or limit == self.seconds:
                    raise TimeoutError
                raise MachineError(f'the machine did not boot within {BOOT_SECONDS} s; its console said:\n{self.machine.last_words()}')
            for key, _ in self._selector.select(left):
                complaint += self._relay(key) or ''
            if self.machine.process.returncode is not None:
                self._drain()
                raise MachineError(f'the machine stopped before the command had ended; its console said:\n{self.machine.last_words()}\n{complaint}'.rstrip())
        self._drain()
        return self.status

    def _relay(self, key):
        if key.data == 'input':
            self._input.move()
            return None
        data = os.read(key.fd, 65536)
        if not data:
            self._selector.unregister(key.fileobj)
            if key.data == 'qemu':
                self.machine.process.wait()
        elif key.data == 'serial':
            self.machine.serial += data
        elif key.data == 'log':
            self.machine.log.feed(data)
        elif key.data == 'control':
            self._read_control(data)
        elif key.data == 'qemu':
            return data.decode(errors='replace')
        else:
            write_all(self.sinks[key.data], data)
        return None

    def _read_control(self, data):
        *lines, self._control = (self._control + data).split(b'\n')
        for line in lines:
            word, _, rest = line.decode(errors='replace').partition(' ')
            if word == 'ready':
                self.ready = True
            elif word == 'exit':
                self.status = int(rest)
            elif word == 'failed':
                raise MachineError(f'the machine gave up its boot: {rest}')
            if self.on_control:
                self.on_control(word, rest)

    def _drain(self):
        """QEMU has handed on all that the guest wrote before its end; take it out of the sockets."""
        while ready := [key for key, _ in self._selector.select(0) if key.data not in ('input', 'qemu')]:
            for key in ready:
                self._relay(key)


class Input:
    """Our stdin on its way to the guest, read only as fast as the guest takes it."""

    def __init__(self, selector, source, end):
        self._selector, self._source, self._end = selector, source, end
        self._waiting = b''
        self._is_terminal = source is not None and os.isatty(source)
        if source is None:
            self._finish()
        else:
            # The end may be registered for reading already: write through a descriptor of its own.
            self._end = end.dup()
            self._end.setblocking(False)
            selector.register(source, selectors.EVENT_READ, 'input')

    def move(self):
        if not self._waiting:
            self._waiting = os.read(self._source, 65536)
            if self._is_terminal and STOP_KEY in self._waiting:
                raise KeyboardInterrupt
            self._selector.unregister(self._source)
            if not self._waiting:
                self._finish()
                return
            self._selector.register(self._end, selectors.EVENT_WRITE, 'input')
        try:
            self._waiting = self._waiting[self._end.send(self._waiting):]
        except BlockingIOError:
            return
        except BrokenPipeError:         # QEMU has gone: the session will see it
            self._selector.unregister(self._end)
            return
        if not self._waiting:
            self._selector.unregister(self._end)
            self._selector.register(self._source, selectors.EVENT_READ, 'input')

    def _finish(self):
        self._end.shutdown(socket.SHUT_WR)


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def report_complaints(complaints, stream=sys.stderr):
    for complaint in complaints:
        where = f' during {complaint.section}' if complaint.section else ''
        print(f'[vm] error: the kernel complained{where}:', file=stream)
        for line in complaint.lines[:40]:
            print(f'  {line}', file=stream)
