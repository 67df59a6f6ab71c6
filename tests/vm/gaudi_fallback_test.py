#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Card and Gaudi below a root port each, on a host bridge that the kernel does not know: the camera's line plays from host memory, and says why."""

import unittest

import gaudi_camera_test as device


class Apart(device.GaudiLine):
    def test_a_hundred_frames_in_host_memory_and_the_reason(self):
        said = self.in_hbm(device.camera(device.YUYV, properties=device.PROBED), 100, placement='host')
        self.assertIn('the kernel does not trust the host bridge', [text for _, text in said.infos][0])


if __name__ == '__main__':
    unittest.main()
