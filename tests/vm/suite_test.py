#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which machine each test of the suite gets."""

import os
import unittest
from unittest import mock

import gaudi
import machine
import suite


@mock.patch.dict(os.environ, {'HL_VM_ONLY': ''})
class Chosen(unittest.TestCase):
    def test_a_machine_for_each_kind(self):
        machines = suite.chosen(['camera_test', 'gaudi_a_test:60', 'gaudi_first_a_test=gaudi_a_test:180:gaudi', 'gaudi_b_test', 'gaudi_c_test:180:--null'])
        self.assertEqual(machines, [(None, {'camera_test': (suite.SECONDS, 'camera_test')}),
                                    (gaudi.Settings(chip='gaudi2'), {'gaudi_a_test': (60, 'gaudi_a_test'), 'gaudi_b_test': (suite.SECONDS, 'gaudi_b_test')}),
                                    (gaudi.Settings(chip='gaudi'), {'gaudi_first_a_test': (180, 'gaudi_a_test')}),
                                    (gaudi.Settings(chip='gaudi2', options=('--null',)), {'gaudi_c_test': (180, 'gaudi_c_test')})])

    # Many tests expect of a chip what its kind can do: on the wrong one they would pass.
    def test_a_name_and_a_chip_that_contradict_each_other_are_refused(self):
        for test in ('gaudi_first_a_test=gaudi_a_test:180', 'gaudi_first_a_test:180:--null', 'gaudi_a_test:180:gaudi'):
            with self.subTest(test), self.assertRaisesRegex(machine.MachineError, test.split('_test')[0]):
                suite.chosen([test])


if __name__ == '__main__':
    unittest.main(verbosity=2)
