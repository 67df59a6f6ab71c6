#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs Meson's tests and judges what they did: every case is counted, and a skip that tests/skips.txt does not allow is a failure.

A test program that runs many cases (GoogleTest, GstCheck, Python's unittest, TAP) counts as its cases, found in what it printed; any other as one. The last line is
"N passed, N failed, N skipped".
"""

import argparse
import dataclasses
import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
SKIPS = TOP / 'tests' / 'skips.txt'

# Debian's GLib is not instrumented, so under ThreadSanitizer only the suites that use no GLib prove anything.
TSAN_SUITES = ['unit']
# Suites that are left out, by the variant or by the Debian suite that is tested, and why.
LEFT_OUT = {
    variant: {
        'vm': "the guest would need the sanitizer's runtime in every program, and ten times the time on an emulated processor",
        'endurance': "a sanitizer's heap and threads are not what it counts",
        'image': 'it packs a release build',
    } for variant in ('asan', 'tsan')
} | {'sid': {'vm': 'the virtual machine is made of the Debian 13 root, with the kernel and QEMU of its backports',
               'image': 'the image is made of Debian 13'}}
# Too long for every change (image: minutes and a download of 300 MB; clang: everything compiled once more): these run only when they are named.
ON_REQUEST_SUITES = ['clang', 'endurance', 'image']
TIMEOUT_MULTIPLIER = {'default': 1, 'release': 1, 'asan': 5, 'tsan': 10}


@dataclasses.dataclass
class Outcome:
    """What one Meson test did: case names, with the reason for each skip."""
    passed: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)
    skipped: list = dataclasses.field(default_factory=list)  # (name, reason)
    said: list = dataclasses.field(default_factory=list)     # what TAP has below its failed cases, which Meson does not print
    tables: list = dataclasses.field(default_factory=list)   # lines that begin with "| ": what a test counted


GTEST_END = re.compile(r'^\[ +(OK|FAILED|SKIPPED) +\] (\S+?),? .*\(\d+ ms\)$')
GTEST_RUN = re.compile(r'^\[ RUN +\] (\S+)')
GTEST_TOTAL = re.compile(r'^\[=+\] (\d+) tests? from \d+ test suites? ran')
CHECK_TOTAL = re.compile(r'^(?:\d+)%: Checks: (\d+), Failures: (\d+), Errors: (\d+)')
UNITTEST_CASE = re.compile(r"^(\S+) \((\S+)\)(?:.*) \.\.\. skipped '(.*)'$")
UNITTEST_TOTAL = re.compile(r'^Ran (\d+) tests? in ')
UNITTEST_SUM = re.compile(r'^(?:OK|FAILED)(?: \((.*)\))?$')
TAP_CASE = re.compile(r'^(not )?ok\b\s*(\d*)\s*(?:- )?(.*?)\s*(?:#\s*(SKIP|TODO)\S*\s*(.*))?$', re.IGNORECASE)


def read_gtest(test, lines, outcome):
    """Cases of a GoogleTest program. The text between RUN and SKIPPED holds the reason."""
    text, total = [], 0
    for line in lines:
        if GTEST_RUN.match(line):
            text = []
        elif m := GTEST_END.match(line + (' ' if line.endswith(']') else '')):
            state, case = m.groups()
            name = f'{test}/{case}'
            if state == 'OK':
                outcome.passed.append(name)
            elif state == 'FAILED':
                outcome.failed.append(name)
            else:
                outcome.skipped.append((name, ' '.join(t for t in text if not t.endswith(': Skipped')).strip()))
        elif m := GTEST_TOTAL.match(line):
            total += int(m.group(1))
            if total == 0:
                outcome.failed.append(f'{test} (ran no test)')
        else:
            text.append(line)


def read_counts(test, lines, outcome):
    """Totals of GstCheck and unittest, which do not name the cases that passed."""
    def add(kind, count):
        for _ in range(count):
            getattr(outcome, kind).append(test)

    for line in lines:
        if m := CHECK_TOTAL.match(line):
            total, failures, errors = map(int, m.groups())
            add('passed', total - failures - errors)
            add('failed', failures + errors)
            if total == 0:
                outcome.failed.append(f'{test} (ran no check)')
        elif m := UNITTEST_CASE.match(line):
            outcome.skipped.append((f'{test}/{m.group(2).split(".")[-2]}.{m.group(1)}' if '.' in m.group(2) else f'{test}/{m.group(1)}', m.group(3)))
        elif m := UNITTEST_TOTAL.match(line):
            ran = int(m.group(1))
        elif (m := UNITTEST_SUM.match(line)) and 'ran' in locals():
            sums = dict(part.split('=') for part in (m.group(1) or '').split(', ') if '=' in part)
            bad = sum(int(sums.get(key, 0)) for key in ('failures', 'errors', 'unexpected successes'))
            skipped = int(sums.get('skipped', 0))
            for number in range(len(outcome.skipped), skipped):
                outcome.skipped.append((f'{test}/skip{number + 1}', 'not named: run unittest with verbosity 2'))
            add('passed', ran - bad - skipped)
            add('failed', bad)
            if ran == 0:
                outcome.failed.append(f'{test} (ran no test)')
            del ran


def read_tap(test, lines, outcome):
    bad = None
    for line in lines:
        if bad and line.startswith('#'):
            outcome.said.append(line.removeprefix('# '))
        elif m := TAP_CASE.match(line):
            bad, number, title, directive, reason = m.groups()
            bad = bad and not directive
            name = f'{test}/{title or number}'
            if directive and directive.upper() == 'SKIP':
                outcome.skipped.append((name, reason))
            elif bad:
                outcome.failed.append(name)
                outcome.said.append(f'{name}:')
            else:
                outcome.passed.append(name)


def judge(record, protocol):
    """The outcome of one line of Meson's testlog.json."""
    test = record['name'].split(' / ')[-1].split(':')[-1]
    outcome = Outcome()
    result = record['result']
    output = (record.get('stdout') or '') + '\n' + (record.get('stderr') or '')
    lines = [line.rstrip() for line in output.splitlines()]
    outcome.tables = [line for line in lines if line.startswith('| ')]
    if protocol == 'tap':
        read_tap(test, lines, outcome)
    elif any(line.startswith('[==========]') for line in lines):
        read_gtest(test, lines, outcome)
    else:
        read_counts(test, lines, outcome)

    if result == 'SKIP' and not outcome.skipped:
        outcome.skipped.append((test, next((line for line in reversed(lines) if line.strip()), 'no reason given')))
    elif result in ('OK', 'EXPECTEDFAIL'):
        if not (outcome.passed or outcome.failed or outcome.skipped):
            outcome.passed.append(test)
    elif result != 'SKIP' and not outcome.failed:
        # It crashed, timed out, leaked, or failed outside its cases.
        outcome.failed.append(f'{test} ({result.lower()}, exit status {record.get("returncode", "?")})')
    return outcome


def allowed_skips(path):
    """'name: reason' per line; name may hold shell wildcards. A line without a reason allows nothing."""
    allowed = {}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines() if path.exists() else [], 1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        name, separator, reason = line.partition(': ')
        if not separator or not reason.strip():
            sys.exit(f'{path}:{number}: expected "test-name: reason"')
        allowed[name.strip()] = reason.strip()
    return allowed


def is_allowed(name, allowed):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed)


def introspect(build):
    """The tests that Meson knows."""
    return json.loads(subprocess.run(['meson', 'introspect', '--tests', str(build)], check=True, capture_output=True, text=True).stdout)


def suites_of(tests):
    return sorted({suite.split(':')[-1] for test in tests for suite in test['suite'] if ':' in suite})


def choose_suites(named, known, variant, debian='trixie'):
    """The suites to run, given those that the user named, and why others are left out."""
    suites = named or [suite for suite in known if suite not in ON_REQUEST_SUITES]
    notes = []
    if variant == 'tsan' and not named:
        suites = [suite for suite in TSAN_SUITES if suite in known]
        notes.append(f'ThreadSanitizer: only {" ".join(suites)}; GLib is not instrumented, so the other suites would prove nothing')
    for key in (variant, debian):
        for suite, reason in LEFT_OUT.get(key, {}).items():
            if suite in suites:
                suites = [other for other in suites if other != suite]
                notes.append(f'left out under {key}: {suite} ({reason})')
    return suites, notes


def run_meson(options, suites, names):
    """Runs the tests; returns the records of testlog.json. Meson prints as it goes."""
    command = ['meson', 'test', '-C', str(options.build), '--no-rebuild', '--print-errorlogs',
               '--timeout-multiplier', str(TIMEOUT_MULTIPLIER[options.variant])]
    if options.jobs:
        command += ['--num-processes', str(options.jobs)]
    if os.environ.get('HL_SANITIZER_PRELOAD'):
        command += ['--wrapper', str(TOP / 'tests' / 'runner' / 'sanitized')]
    for suite in suites:
        command += ['--suite', suite]
    command += names
    log = options.build / 'meson-logs' / 'testlog.json'
    logs = [log, *log.parent.glob('testlog-*.json')]
    for old in logs:
        old.unlink(missing_ok=True)
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    new = [path for path in [log, *log.parent.glob('testlog-*.json')] if path.exists()]
    records = [json.loads(line) for path in new for line in path.read_text(encoding='utf-8', errors='replace').splitlines()]
    return records, status


def report(total, allowed, complaints):
    """Prints the summary. Returns whether all is well."""
    if total.tables:
        print('\n' + '\n'.join(total.tables))
    if total.skipped:
        print('\nSkipped:')
        for name, reason in total.skipped:
            print(f'  {name}: {reason}' + ('' if is_allowed(name, allowed) else '   NOT ALLOWED'))
    if total.said:
        print('\n' + '\n'.join(total.said))
    refused = [name for name, _ in total.skipped if not is_allowed(name, allowed)]
    if total.failed:
        print('\nFailed:')
        for name in total.failed:
            print(f'  {name}')
    if refused:
        complaints.append(f'{len(refused)} skipped without leave: a skip needs a line "name: reason" in tests/skips.txt')
    if not (total.passed or total.failed):
        complaints.append('no test passed or failed: nothing was tested')
    print()
    for complaint in complaints:
        print(f'error: {complaint}')
    print(f'{len(total.passed)} passed, {len(total.failed)} failed, {len(total.skipped)} skipped', flush=True)
    return not (total.failed or complaints)


def main():
    parser = argparse.ArgumentParser(prog='./dev test', description='Run the tests of these suites, or of all.')
    parser.add_argument('suites', nargs='*', metavar='SUITE')
    parser.add_argument('--build', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument('--variant', choices=sorted(TIMEOUT_MULTIPLIER), default='default', help=argparse.SUPPRESS)
    parser.add_argument('--debian', choices=['trixie', 'sid'], default='trixie', help=argparse.SUPPRESS)
    parser.add_argument('--list', action='store_true', help='name the suites and their tests')
    parser.add_argument('--jobs', type=int, help='tests at a time (default: one per core)')
    parser.add_argument('--only', metavar='TEST', nargs='+', default=[], help='of the vm suite, only these tests (also: ./dev test vm -- TEST...)')
    arguments = sys.argv[1:]
    if '--' in arguments:
        arguments[arguments.index('--')] = '--only'
    options = parser.parse_args(arguments)

    tests = introspect(options.build)
    known = suites_of(tests)
    if options.list:
        for suite in known:
            print(suite + ': ' + ' '.join(test['name'] for test in tests if any(s.split(':')[-1] == suite for s in test['suite'])))
        return 0
    unknown = [suite for suite in options.suites if suite not in known]
    if unknown:
        sys.exit(f'error: there is no suite {", ".join(unknown)}; there are: {" ".join(known)}')
    suites, notes = choose_suites(options.suites, known, options.variant, options.debian)
    for note in notes:
        print(note)
    if not suites:
        sys.exit('error: nothing is left to test')
    if options.only:
        if suites != ['vm']:
            sys.exit('error: only the suite vm has tests to choose from: ./dev test vm -- TEST...')
        os.environ['HL_VM_ONLY'] = ' '.join(options.only)

    protocols = {test['name']: test['protocol'] for test in tests}
    wanted = [test for test in tests if any(s.split(':')[-1] in suites for s in test['suite']) and not (options.only and test['name'] != 'vm')]
    if 'vm' in suites_of(wanted):
        # Here its progress is seen. If it fails, the suite will, with the same words.
        subprocess.run([TOP / 'dev', 'vm', '--prepare'], stdin=subprocess.DEVNULL, check=False)
    records, status = run_meson(options, suites, ['vm'] if options.only else [])
    total = Outcome()
    for record in records:
        outcome = judge(record, protocols.get(record['name'].split(' / ')[-1].split(':')[-1]))
        total.passed += outcome.passed
        total.failed += outcome.failed
        total.skipped += outcome.skipped
        total.said += outcome.said
        if set(suites) & set(ON_REQUEST_SUITES):
            total.tables += outcome.tables
    complaints = []
    if len(records) < len(wanted):
        complaints.append(f'{len(wanted) - len(records)} of {len(wanted)} tests did not run')
    if status != 0 and not total.failed:
        complaints.append(f'meson test ended with status {status}')
    return 0 if report(total, allowed_skips(SKIPS), complaints) else 1


if __name__ == '__main__':
    sys.exit(main())
