#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The camera's line with a recipe, on a chip that has an error in mid stream, upon which the driver resets it: one error, and the same pipeline plays again. The machine's order (meson.build) strikes a copy, of
which a frame has six: the double reads two planes, writes the output and both ends of the workspace, and the output then comes to the host."""

import unittest

import cardcase
from gaudi_synapse_test import BOUND, CAMERA, INFER
from line import Line


class Lost(cardcase.CardCase):
    def test_one_error_and_the_line_plays_again(self):
        seen = []
        with Line(f'{CAMERA} ! {INFER} ! fakesink name=sink') as line:
            line.each_frame(lambda _: seen.append(1))  # not the buffer: it would hold the device
            line.play()
            self.assertTrue(line.end(BOUND))
            line.stop()
            self.assertTrue(seen, 'no frame came before')
            seen.clear()
            self.assertFalse(line.said.eos)
            self.assertEqual([text[:10] for _, text, _ in line.said.errors if text.startswith('HL-')], ['HL-DEV-004'], line.said.errors)
            line.element('camera').set_property('num-buffers', 10)
            line.said.errors.clear()
            line.play()
            self.assertTrue(line.end(BOUND))
            self.assertTrue(line.said.eos, line.said.errors)
            self.assertEqual(len(seen), 10)


if __name__ == '__main__':
    unittest.main()
