#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The judge of ./dev test: what it reads out of each kind of test, and that no unlisted skip gets past it."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import run


def record(stdout='', result='OK', stderr='', name='gst-habana:unit / thing'):
    return {'name': name, 'stdout': stdout, 'stderr': stderr, 'result': result, 'returncode': 0}


GTEST = '''\
Running main() from gtest_main.cc
[==========] Running 4 tests from 2 test suites.
[ RUN      ] Arena.Splits
[       OK ] Arena.Splits (0 ms)
[ RUN      ] Arena.Wants/2
device.cpp:10: Skipped
no udmabuf here
[  SKIPPED ] Arena.Wants/2 (0 ms)
[ RUN      ] Sim.Fails
device.cpp:12: Failure
[  FAILED  ] Sim.Fails (3 ms)
[ RUN      ] Sim.FailsToo/1
[  FAILED  ] Sim.FailsToo/1, where GetParam() = 7 (3 ms)
[==========] 4 tests from 2 test suites ran. (4 ms total)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Arena.Wants/2
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] Sim.Fails
[  FAILED  ] Sim.FailsToo/1, where GetParam() = 7
'''


class Judge(unittest.TestCase):
    def test_gtest_cases(self):
        outcome = run.judge(record(GTEST, 'FAIL'), 'gtest')
        self.assertEqual(outcome.passed, ['thing/Arena.Splits'])
        self.assertEqual(outcome.failed, ['thing/Sim.Fails', 'thing/Sim.FailsToo/1'])
        self.assertEqual(outcome.skipped, [('thing/Arena.Wants/2', 'no udmabuf here')])

    def test_gtest_that_crashes_is_a_failure(self):
        cut = '\n'.join(GTEST.splitlines()[:5])
        outcome = run.judge(record(cut, 'FAIL'), 'exitcode')
        self.assertEqual((len(outcome.passed), len(outcome.failed)), (1, 1))

    def test_gtest_without_tests_is_a_failure(self):
        empty = '[==========] Running 0 tests from 0 test suites.\n[==========] 0 tests from 0 test suites ran. (0 ms total)\n[  PASSED  ] 0 tests.\n'
        self.assertEqual(len(run.judge(record(empty), 'gtest').failed), 1)

    def test_gstcheck_totals(self):
        outcome = run.judge(record('Running suite(s): hlinfer\n80%: Checks: 5, Failures: 1, Errors: 0\n', 'FAIL'), 'exitcode')
        self.assertEqual((len(outcome.passed), len(outcome.failed)), (4, 1))

    def test_unittest_totals_and_skips(self):
        text = "test_a (mod.Case.test_a) ... ok\ntest_b (mod.Case.test_b) ... skipped 'no GPU'\n\nRan 2 tests in 0.1s\n\nOK (skipped=1)\n"
        outcome = run.judge(record(stderr=text), 'exitcode')
        self.assertEqual(len(outcome.passed), 1)
        self.assertEqual(outcome.skipped, [('thing/Case.test_b', 'no GPU')])

    def test_unittest_skip_without_a_name_is_still_a_skip(self):
        outcome = run.judge(record(stderr='.s\nRan 2 tests in 0.1s\n\nOK (skipped=1)\n'), 'exitcode')
        self.assertEqual((len(outcome.passed), len(outcome.skipped)), (1, 1))

    def test_tap(self):
        outcome = run.judge(record('ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no bus\n1..3\n', 'FAIL'), 'tap')
        self.assertEqual(outcome.passed, ['thing/a'])
        self.assertEqual(outcome.failed, ['thing/b'])
        self.assertEqual(outcome.skipped, [('thing/c', 'no bus')])

    def test_what_tap_has_below_a_failed_case(self):
        outcome = run.judge(record('ok 1 - a\n# of no interest\nnot ok 2 - b\n# why\n#\nok 3 - c\n1..3\n', 'FAIL'), 'tap')
        self.assertEqual(outcome.said, ['thing/b:', 'why', '#'])

    def test_plain_programs(self):
        self.assertEqual(run.judge(record('hello'), 'exitcode').passed, ['thing'])
        self.assertEqual(len(run.judge(record('hello', 'TIMEOUT'), 'exitcode').failed), 1)
        self.assertEqual(run.judge(record('no camera', 'SKIP'), 'exitcode').skipped, [('thing', 'no camera')])

    def test_a_leak_after_green_cases_is_a_failure(self):
        text = '\n'.join(GTEST.splitlines()[:4]) + '\n[==========] 1 test from 1 test suite ran. (0 ms total)\n'
        outcome = run.judge(record(text, 'FAIL'), 'gtest')
        self.assertEqual((len(outcome.passed), len(outcome.failed)), (1, 1))


    def test_table_lines(self):
        outcome = run.judge(record('| before  12\n|no table\n| after   12\n'), 'exitcode')
        self.assertEqual(outcome.tables, ['| before  12', '| after   12'])


class Suites(unittest.TestCase):
    KNOWN = ['elements', 'endurance', 'unit', 'vm']

    def test_without_a_name_all_but_those_on_request(self):
        self.assertEqual(run.choose_suites([], self.KNOWN, 'default'), (['elements', 'unit', 'vm'], []))

    def test_a_named_one_runs(self):
        self.assertEqual(run.choose_suites(['endurance'], self.KNOWN, 'release'), (['endurance'], []))
        self.assertEqual(run.choose_suites(['unit', 'endurance'], self.KNOWN, 'default')[0], ['unit', 'endurance'])

    def test_sanitizers(self):
        suites, notes = run.choose_suites([], self.KNOWN, 'asan')
        self.assertEqual(suites, ['elements', 'unit'])
        self.assertRegex(notes[0], r'^left out under asan: vm \(the guest .*\)$')
        self.assertEqual(run.choose_suites(['endurance'], self.KNOWN, 'asan')[0], [])
        suites, notes = run.choose_suites([], self.KNOWN, 'tsan')
        self.assertEqual((suites, len(notes)), (['unit'], 1))

    def test_sid_has_no_virtual_machine_and_says_why(self):
        suites, notes = run.choose_suites([], self.KNOWN, 'default', 'sid')
        self.assertEqual(suites, ['elements', 'unit'])
        self.assertRegex(notes[0], r'^left out under sid: vm \(.*Debian 13 root.*\)$')

    def test_what_was_not_asked_for_is_not_mentioned(self):
        self.assertEqual(run.choose_suites(['unit'], self.KNOWN, 'asan', 'sid'), (['unit'], []))


class Report(unittest.TestCase):
    def report(self, outcome, allowed=None, complaints=None):
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            good = run.report(outcome, allowed or {}, complaints or [])
        self.text = text.getvalue()
        return good, self.text.rstrip('\n').splitlines()[-1]

    def test_last_line(self):
        self.assertEqual(self.report(run.Outcome(['a', 'b'])), (True, '2 passed, 0 failed, 0 skipped'))
        self.assertEqual(self.report(run.Outcome(['a'], ['b'])), (False, '1 passed, 1 failed, 0 skipped'))

    def test_the_words_of_failed_tap_cases_are_shown(self):
        self.assertEqual(self.report(run.Outcome(['a'], ['b'], said=['b:', 'why']))[0], False)
        self.assertIn('\nb:\nwhy\n', self.text)

    def test_tables_are_shown(self):
        self.report(run.Outcome(['a'], tables=['| before  12', '| after   12']))
        self.assertIn('\n| before  12\n| after   12\n', self.text)

    def test_a_skip_needs_leave(self):
        outcome = run.Outcome(['a'], [], [('thing/Arena.Wants', 'no node')])
        self.assertEqual(self.report(outcome), (False, '1 passed, 0 failed, 1 skipped'))
        self.assertEqual(self.report(outcome, {'thing/Arena.*': 'needs the node'}), (True, '1 passed, 0 failed, 1 skipped'))
        self.assertFalse(self.report(outcome, {'thing/Arena': 'another case'})[0])

    def test_nothing_tested_is_not_success(self):
        self.assertFalse(self.report(run.Outcome())[0])
        self.assertFalse(self.report(run.Outcome([], [], [('x', 'y')]), {'x': 'y'})[0])

    def test_skip_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / 'skips.txt'
            path.write_text('# comment\n\nthing/A.B: no such node\n')
            self.assertEqual(run.allowed_skips(path), {'thing/A.B': 'no such node'})
            path.write_text('thing/A.B\n')
            with self.assertRaises(SystemExit):
                run.allowed_skips(path)


if __name__ == '__main__':
    unittest.main(verbosity=2)
