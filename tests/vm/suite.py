# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs all tests of tests/vm, in a virtual machine for each kind of machine that they need, and reports each of their cases, and each complaint of the kernel, as a line of TAP."""

import os
import pathlib
import sys

import gaudi
import kernellog
import machine

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests' / 'runner'))
import run as runner  # noqa: E402

SECONDS = 180                           # for one test program; "name:600" asks for another bound
TIMED_OUT = (124, 137)
GAUDI = 'gaudi_'                        # how the names of the tests begin that need a machine with a Gaudi
FIRST_GAUDI = 'gaudi_first_'            # with a first Gaudi: they would take a Gaudi2 as well


def program_of(name):
    """A script in tests/vm, or a program that was built there or for the guest of an emulated Gaudi."""
    here = TOP / 'tests' / 'vm' / name
    built = pathlib.Path(os.environ['HL_BUILD_DIR'], 'tests')
    for path in (here.with_suffix('.py'), here.with_suffix('.sh'), built / 'vm' / name, built / 'gaudi-emulator' / 'guest' / name):
        if os.access(path, os.X_OK):
            return path
    raise machine.MachineError(f'there is no executable tests/vm/{name}, neither a script in the source nor a program in the build directory')


def settings_of(words):
    """A machine with a Gaudi: which one, where it and the cards sit, and the emulator's options."""
    chip = [word for word in words if word in gaudi.CHIPS] or [gaudi.DEFAULT_CHIP]
    topology = [word for word in words if word in gaudi.TOPOLOGIES] or [gaudi.DEFAULT_TOPOLOGY]
    return gaudi.Settings(chip=chip[0], topology=topology[0], options=tuple(word for word in words if word not in gaudi.TOPOLOGIES and word not in gaudi.CHIPS))


def words_of(settings):
    """The same, of a machine that is not the plain one."""
    return ([] if settings.topology == gaudi.DEFAULT_TOPOLOGY else [settings.topology]) + list(settings.options)


def chosen(tests):
    """All tests, or those named in HL_VM_ONLY (./dev test vm -- NAME...), for each machine that they need: settings, and of each test by its name how long it may take and what is run."""
    known = {}
    for test in tests:
        name, _, rest = test.partition(':')
        name, _, program = name.partition('=')
        seconds, _, options = rest.partition(':')
        settings = settings_of(options.split()) if name.startswith(GAUDI) else None
        if settings and name.startswith(FIRST_GAUDI) != (settings.chip == 'gaudi'):
            raise machine.MachineError(f'the test {name} is to run on a {gaudi.CHIPS[settings.chip]}: those on a first Gaudi, and no others, are named {FIRST_GAUDI}*')
        known[name] = settings, (int(seconds or SECONDS), program or name)
    only = os.environ.get('HL_VM_ONLY', '').split()
    if unknown := [name for name in only if name not in known]:
        raise machine.MachineError(f'there is no test {", ".join(unknown)} in the suite; there are: {" ".join(known)}')
    machines = []
    for name in only or known:
        settings, bounds = known[name]
        for others, mine in machines:
            if others == settings:
                mine[name] = bounds
                break
        else:
            machines.append((settings, {name: bounds}))
    return machines


class Report:
    """TAP on stdout."""

    def __init__(self):
        self.count, self.good = 0, True

    def line(self, good, name, suffix=''):
        self.count += 1
        self.good = self.good and good
        print(f'{"ok" if good else "not ok"} {self.count} - {name}{suffix}')

    @staticmethod
    def quote(text):
        for line in text.splitlines():
            print(f'# {line}')

    def test(self, name, results):
        """The cases of one test, from the files it left."""
        if not (results / 'status').exists():
            self.line(False, f'{name} (did not end)')
            return
        status = int((results / 'status').read_text(encoding='ascii'))
        stdout, stderr = ((results / stream).read_text(encoding='utf-8', errors='replace') for stream in ('stdout', 'stderr'))
        result = {0: 'OK', 77: 'SKIP'}.get(status, 'TIMEOUT' if status in TIMED_OUT else 'FAIL')
        protocol = 'tap' if stdout.startswith(('ok ', 'not ok ', '1..', 'TAP version')) else 'exitcode'
        outcome = runner.judge({'name': name, 'stdout': stdout, 'stderr': stderr, 'result': result, 'returncode': status}, protocol)
        for case in outcome.passed:
            self.line(True, case)
        for case, reason in outcome.skipped:
            self.line(True, case, f' # SKIP {reason}')
        for case in outcome.failed:
            self.line(False, case)
        if outcome.failed:
            self.quote(stdout + stderr)

    def kernel(self, complaints, boot, names):
        """One case for each test, and one for what was before the first: the kernel had nothing to say."""
        for name in [boot, *names]:
            mine = [one for one in complaints if (one.section or boot) == name]
            self.line(not mine, f'{name}/kernel log')
            for complaint in mine:
                self.quote(complaint.text())


def run_in(vm, bounds, options, report):
    """The tests of one machine."""
    variables = {'G_DEBUG': 'fatal-criticals', 'PYTHONDONTWRITEBYTECODE': '1', 'GST_DEBUG': '1,hl*:2', 'GST_DEBUG_NO_COLOR': '1'}
    if not vm.gaudi_settings:
        variables['HL_DEVICE'] = 'sim'
    programs = {name: program_of(program) for name, (_, program) in bounds.items()}
    vm.prepare([str(machine.GUEST / 'run-tests')], variables)
    (vm.share / 'tests').write_text(''.join(f'{name}\t{seconds}\t{programs[name]}\n' for name, (seconds, _) in bounds.items()), encoding='utf-8')
    print(f'# {vm.describe()}', flush=True)
    vm.start(vm.PORTS)
    try:
        machine.Session(vm, options.timeout).run()
    except TimeoutError:
        report.line(False, f'the suite (not done within {options.timeout:g} s)')
    except machine.MachineError as error:
        report.line(False, 'the machine (stopped)')
        report.quote(str(error))
    failure = vm.emulator_failure()
    vm.stop()
    for name in bounds:
        report.test(name, vm.share / 'results' / name)
    suffix = ''.join(f' {word}' for word in words_of(vm.gaudi_settings)) if vm.gaudi_settings else ''
    report.kernel(vm.log.complaints(kernellog.allowed_texts()), f'boot_{vm.gaudi_settings.chip}{suffix}' if vm.gaudi_settings else 'boot', bounds)
    if vm.gaudi_settings:
        report.line(not failure, f'gaudi-emulator {vm.gaudi_settings.chip}{suffix}')
        report.quote(failure)


def run(options):
    """Returns the exit status: 0 if every case passed."""
    report = Report()
    for settings, bounds in chosen(options.command):
        vm = machine.Machine(options.kit, options.memory, settings)
        try:
            run_in(vm, bounds, options, report)
        finally:
            vm.clean()
    print(f'1..{report.count}', flush=True)
    return 0 if report.good else 1
