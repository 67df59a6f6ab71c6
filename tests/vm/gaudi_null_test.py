#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The negative control: on a chip that completes every job and moves nothing, the tests of jobs fail, and those that move nothing pass."""

import os
import pathlib
import re
import subprocess
import unittest

PROGRAM = pathlib.Path(os.environ['HL_BUILD_DIR'], 'tests', 'gaudi-emulator', 'guest', 'gaudi_driver_test')
RED = {'Driver.LinDmaRoundTripsAreByteExact', 'Driver.ManyInFlightAllComplete', 'Driver.MemsetFillsHbm', 'Driver.ClosesAndOpensAgainWithoutAHardReset'}
GREEN = {'Driver.IsOperationalAndNamesTheEmulator', 'Driver.InboundWritesCanBeFlushed'}


class NullChip(unittest.TestCase):
    def test_what_moves_bytes_fails_and_the_rest_passes(self):
        done = subprocess.run([PROGRAM, '--gtest_filter=Driver.*'], capture_output=True, text=True, check=False)
        outcome = {kind: set(re.findall(rf'^\[ *{kind} *\] (\S+) \(', done.stdout, re.M)) for kind in ('OK', 'FAILED')}
        self.assertEqual(outcome, {'OK': GREEN, 'FAILED': RED}, done.stdout)


if __name__ == '__main__':
    unittest.main()
