#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hl-doctor where Gaudi and cards sit below one switch."""

import unittest

import peerdoctor


class Doctor(peerdoctor.PeerDoctor):
    CARD = ('switch', 'proven')


if __name__ == '__main__':
    unittest.main(verbosity=2)
