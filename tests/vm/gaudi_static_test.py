#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A card whose driver imports as all do in the kernel, without allowing peers: the camera's line plays from host memory, and says why. A process of its own, which remembers what it found."""

import unittest

import cardcase
import gaudi_camera_test as device


class Static(device.GaudiLine):
    def test_a_hundred_frames_in_host_memory_and_the_reason(self):
        with cardcase.parameter('allow_peer2peer', '0'):
            said = self.in_hbm(device.camera(device.YUYV, properties=device.PROBED), 100, placement='host')
        self.assertIn('attaches dma-bufs without allowing peer-to-peer', [text for _, text in said.infos][0])


if __name__ == '__main__':
    unittest.main()
