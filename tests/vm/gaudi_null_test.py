#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The negative control: on a chip that completes every job and moves nothing, the tests of jobs fail, and those that move nothing pass."""

import os
import pathlib
import re
import subprocess
import unittest

TESTS = pathlib.Path(os.environ['HL_BUILD_DIR'], 'tests')
DRIVER, FRAMES = TESTS / 'gaudi-emulator' / 'guest' / 'gaudi_driver_test', TESTS / 'vm' / 'gaudi_frames_test'
RED = {'Driver.LinDmaRoundTripsAreByteExact', 'Driver.ManyInFlightAllComplete', 'Driver.MemsetFillsHbm', 'Driver.ClosesAndOpensAgainWithoutAHardReset'}
GREEN = {'Driver.IsOfTheChipThatTheMachineWasAskedFor', 'Driver.IsOperationalAndNamesTheEmulator', 'Driver.InboundWritesCanBeFlushed'}


class NullChip(unittest.TestCase):
    def outcome(self, program, chosen):
        done = subprocess.run([program, f'--gtest_filter={chosen}'], capture_output=True, text=True, check=False)
        return {kind: set(re.findall(rf'^\[ *{kind} *\] (\S+) \(', done.stdout, re.M)) for kind in ('OK', 'FAILED')}, done.stdout

    def test_what_moves_bytes_fails_and_the_rest_passes(self):
        outcome, said = self.outcome(DRIVER, 'Driver.*')
        self.assertEqual(outcome, {'OK': GREEN, 'FAILED': RED}, said)

    def test_frames_do_not_arrive(self):
        outcome, said = self.outcome(FRAMES, 'GaudiFrames.*')
        self.assertEqual(outcome, {'OK': set(), 'FAILED': {'GaudiFrames.EveryFormatComesBackByteByByteWhateverItsSizeAndStrides'}}, said)


if __name__ == '__main__':
    unittest.main()
