#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The judge of the virtual machine's kernel log, fed with lines of /dev/kmsg."""

import pathlib
import tempfile
import unittest

import kernellog

WARNING = [
    '------------[ cut here ]------------',
    'WARNING: drivers/media/common/videobuf2/videobuf2-core.c:1796 at vb2_start_streaming+0xc5/0x160, CPU#1: v4l2src0:src/402',
    'Modules linked in: vivid videobuf2_vmalloc',
    'Call Trace:',
    ' <TASK>',
    ' vb2_core_streamon+0x10a/0x1c0',
    ' </TASK>',
    '---[ end trace 0000000000000000 ]---',
]


def log(*lines, priority=4):
    text = ''.join(f'{priority},{number},{number * 1000},-;{line}\n' for number, line in enumerate(lines))
    judge = kernellog.KernelLog()
    judge.feed(text.encode())
    return judge


class Judge(unittest.TestCase):
    def test_ordinary_lines_are_no_complaint(self):
        quiet = log('Linux version 7.2.12+deb13-amd64', 'vivid-000: V4L2 capture device registered as video0', 'vkms: loading out-of-tree module taints kernel.',
                    'clocksource: timekeeping watchdog on CPU1: Marking clocksource tsc as unstable', 'Spectre V2 : WARNING is part of a sentence here', 'rcu: Hierarchical RCU implementation.',
                    '..MP-BIOS bug: 8254 timer not connected to IO-APIC')
        self.assertEqual(quiet.complaints(), [])

    def test_a_warning_is_one_complaint_with_its_trace(self):
        found = log('before', *WARNING, 'after').complaints()
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0].lines, WARNING[1:-1])

    def test_every_kind(self):
        for line in ('BUG: kernel NULL pointer dereference, address: 0000000000000008', 'kernel BUG at mm/slub.c:448!', 'Oops: Oops: 0000 [#1] SMP NOPTI',
                     'Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]', 'Kernel panic - not syncing: sysrq triggered crash',
                     'WARNING: possible circular locking dependency detected', 'INFO: task kworker/0:1:12 blocked for more than 120 seconds.', 'refcount_t: underflow; use-after-free.',
                     'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:', 'BUG: sleeping function called from invalid context at mm/page_alloc.c:1', 'list_add corruption. prev->next should be next',
                     'UBSAN: array-index-out-of-bounds in drivers/x.c:1:2', 'v4l2src0:src: page allocation failure: order:8, mode:0x40cc0', 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!'):
            with self.subTest(line):
                self.assertEqual([one.lines for one in log('before', line).complaints()], [[line]])

    def test_two_reports_are_two_complaints(self):
        self.assertEqual(len(log(*WARNING, 'between', *WARNING).complaints()), 2)

    def test_complaints_belong_to_the_test_that_ran(self):
        judge = log('BUG: early', 'hl-vm: begin first_test', 'fine', 'hl-vm: begin second_test', *WARNING, 'hl-vm: end')
        self.assertEqual([one.section for one in judge.complaints()], ['', 'second_test'])
        self.assertTrue(judge.ended)

    def test_a_trace_ends_where_the_next_test_begins(self):
        judge = log('hl-vm: begin first_test', 'WARNING: x', 'hl-vm: begin second_test', 'BUG: y')
        self.assertEqual([(one.section, one.lines) for one in judge.complaints()], [('first_test', ['WARNING: x']), ('second_test', ['BUG: y'])])

    def test_exceptions_match_anywhere_in_the_report_and_nowhere_else(self):
        judge = log(*WARNING, 'between vb2_core_streamon', 'BUG: other')
        self.assertEqual([one.lines[0] for one in judge.complaints(['vb2_core_streamon'])], ['BUG: other'])

    def test_lines_arrive_in_pieces_and_continuations_are_no_lines(self):
        judge = kernellog.KernelLog()
        for piece in (b'4,1,2,-;WARN', b'ING: x\n SUBSYSTEM=pci\n DEV', b'ICE=+pci\n12,2,3,-;one\\x0aBUG: two\n'):
            judge.feed(piece)
        self.assertEqual(judge.records, ['WARNING: x', 'one', 'BUG: two'])

    def test_file_of_exceptions(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / 'allowed'
            path.write_text('# why\n\n  some text  \n', encoding='utf-8')
            self.assertEqual(kernellog.allowed_texts(path), ['some text'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
