#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command, or a shell, in a virtual machine over this file system: what `./dev vm` calls once everything is built."""

import argparse
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import sys
import termios
import tty

import gaudi
import kernellog
import machine
import suite

TIMED_OUT = 124                         # as timeout(1)
MACHINE_FAILED = 125                    # the machine, or its kernel log; not the command's own status
INTERRUPTED = 130


def say(text):
    print(f'[vm] {text}', file=sys.stderr, flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(prog='./dev vm', usage='./dev vm [--gaudi | --gaudi2 [...]] [--memory MB] [--timeout S] [--results DIR] (--shell | -- CMD [ARG...])',
                                     description='Run a command with the built plugin in a virtual machine with cameras and displays.')
    parser.add_argument('--kit', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument('--memory', type=int, default=2048, metavar='MB', help="the machine's memory (default: 2048)")
    parser.add_argument('--timeout', type=float, metavar='S', help='end the machine after so many seconds, boot included, with status 124 (default: 900; a shell: none)')
    parser.add_argument('--results', type=pathlib.Path, metavar='DIR', help='keep here what the command leaves in $HL_VM_RESULTS')
    chips = parser.add_mutually_exclusive_group()
    for chip, name in gaudi.CHIPS.items():
        chips.add_argument(f'--{chip}', dest='chip', action='store_const', const=chip, help=f'with an emulated {name}, a capture card and a scan-out engine')
    parser.add_argument('--topology', choices=gaudi.TOPOLOGIES, default=gaudi.DEFAULT_TOPOLOGY,
                        help='where these sit: below one switch (the default), each below a root port, so on a CPU that lets them talk to each other, or below a switch and an IOMMU')
    parser.add_argument('--gaudi-option', action='append', default=[], metavar='OPTION', help='one more of gaudi-emulator, for instance --gaudi-option=--fault=dma-stall@3')
    parser.add_argument('--shell', action='store_true', help='a shell instead of a command')
    parser.add_argument('--suite', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('command', nargs='*', metavar='CMD')
    options = parser.parse_args(arguments)
    if options.shell == bool(options.command):
        parser.error('either a command after -- or --shell')
    options.gaudi = gaudi.Settings(chip=options.chip, topology=options.topology, options=tuple(options.gaudi_option)) if options.chip else None
    if options.timeout is None:
        options.timeout = 0 if options.shell else 900
    return options


class RawTerminal:
    """The user's terminal, handed to the guest's."""

    def __enter__(self):
        self.saved = termios.tcgetattr(0)
        tty.setraw(0)
        rows, columns = struct.unpack('HHHH', fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2]
        return {'HL_VM_ROWS': str(rows or 24), 'HL_VM_COLUMNS': str(columns or 80), 'TERM': os.environ.get('TERM', 'vt100')}

    def __exit__(self, *_):
        termios.tcsetattr(0, termios.TCSADRAIN, self.saved)


def keep_results(vm, directory):
    if directory:
        shutil.copytree(vm.share / 'results', directory, dirs_exist_ok=True)


def session(vm, options):
    if options.shell:
        if not os.isatty(0):
            say('--shell wants a terminal; to run a script: ./dev vm -- bash <SCRIPT')
            return MACHINE_FAILED
        say(vm.describe())
        say('leave the shell with exit; Ctrl-] stops the machine at once')
        with RawTerminal() as variables:
            vm.prepare([], variables)
            vm.start((*vm.PORTS, 'tty'))
            return machine.Session(vm, options.timeout, stdin=0).run()
    vm.prepare(options.command)
    vm.start(vm.PORTS)
    say(vm.describe())
    return machine.Session(vm, options.timeout, stdin=None if os.isatty(0) else 0).run()


def main():
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        if options.suite:
            return suite.run(options)
        vm = machine.Machine(options.kit, options.memory, options.gaudi)
    except machine.MachineError as error:
        say(f'error: {error}')
        return MACHINE_FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        status = session(vm, options)
        keep_results(vm, options.results)
        if failure := vm.emulator_failure():
            raise machine.MachineError(failure)
    except TimeoutError:
        keep_results(vm, options.results)
        say(f'error: not done within {options.timeout:g} s: the machine was stopped (--timeout S sets another bound)')
        status = TIMED_OUT
    except machine.MachineError as error:
        say(f'error: {error}')
        status = MACHINE_FAILED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:             # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 128 + signal.SIGPIPE
    finally:
        vm.clean()
    complaints = vm.log.complaints(kernellog.allowed_texts())
    machine.report_complaints(complaints)
    return MACHINE_FAILED if complaints and status not in (TIMED_OUT, INTERRUPTED) else status


if __name__ == '__main__':
    sys.exit(main())
