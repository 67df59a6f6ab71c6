#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first Gaudi, whose HBM is exported by physical addresses: frames that go from the card to it, as gaudi_camera_test.py has them, of which these are some."""

import unittest

import gaudi_camera_test as camera

TESTS = ('test_a_hundred_frames_go_from_the_card_to_hbm', 'test_inference_on_the_host_reads_each_frame_back_once')


def load_tests(*_):
    return unittest.TestSuite(camera.GaudiCamera(name) for name in TESTS)


if __name__ == '__main__':
    unittest.main()
