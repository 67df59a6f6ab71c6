#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hl-doctor where Gaudi and cards sit each below a root port, on a processor of AMD's Zen."""

import unittest

import peerdoctor


class Doctor(peerdoctor.PeerDoctor):
    CARD = ('host-bridge', 'proven')


if __name__ == '__main__':
    unittest.main(verbosity=2)
