# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs launch lines in this process."""

import gi
import holdings

gi.require_version('Gst', '1.0')
gi.require_version('GstApp', '1.0')
from gi.repository import Gst, GstApp  # noqa: E402,F401 (GstApp gives appsrc its methods)

Gst.init(None)
BOUND = 30 * Gst.SECOND                 # for whatever has to happen at once


class Said:
    """What a pipeline said on its bus, in order."""

    def __init__(self):
        self.errors, self.warnings, self.infos, self.placements, self.imports, self.eos = [], [], [], [], [], False

    def take(self, message):
        if message.type == Gst.MessageType.ERROR:
            error, debug = message.parse_error()
            self.errors.append((message.src.get_factory().get_name(), error.message, debug or ''))
        elif message.type == Gst.MessageType.WARNING:
            self.warnings.append((message.src.get_name(), message.parse_warning()[0].message))
        elif message.type == Gst.MessageType.INFO:
            self.infos.append((message.src.get_name(), message.parse_info()[0].message))
        elif message.type == Gst.MessageType.EOS:
            self.eos = True
        elif message.type == Gst.MessageType.ELEMENT and message.get_structure().get_name() == 'hl-placement':
            self.placements.append(message.get_structure())
        elif message.type == Gst.MessageType.ELEMENT and message.get_structure().get_name() == 'hl-import':
            self.imports.append(message.get_structure())

    def errors_of(self, factory):
        return [text + '\n' + debug for name, text, debug in self.errors if name == factory]


class Line:
    """A pipeline of a launch line; NULL when left."""

    def __init__(self, description):
        self.pipeline = Gst.parse_launch(description)
        self.bus = self.pipeline.get_bus()
        self.said = Said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def element(self, name):
        return self.pipeline.get_by_name(name)

    def play(self):
        return self.pipeline.set_state(Gst.State.PLAYING)

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)
        self.drain()

    def each_frame(self, seen, element='sink', pad='sink'):
        """Calls seen(buffer) for each frame that passes a pad."""
        def probe(_, info):
            seen(info.get_buffer())
            return Gst.PadProbeReturn.OK
        self.element(element).get_static_pad(pad).add_probe(Gst.PadProbeType.BUFFER, probe)

    def expect_frames(self, count):
        """Has the line say when so many more frames have reached the sink: see wait_expected()."""
        def probe(pad, _, left=[count]):
            left[0] -= 1
            if left[0] > 0:
                return Gst.PadProbeReturn.OK
            element = pad.get_parent_element()
            element.post_message(Gst.Message.new_application(element, Gst.Structure.new_empty('frames')))
            return Gst.PadProbeReturn.REMOVE
        self.element('sink').get_static_pad('sink').add_probe(Gst.PadProbeType.BUFFER, probe)

    def wait_expected(self, bound=BOUND):
        """Waits until the expected frames have reached the sink; False where the line ended before."""
        kinds = (Gst.MessageType.APPLICATION, Gst.MessageType.EOS, Gst.MessageType.ERROR)
        last = []
        return self.wait(lambda message: message.type in kinds and not last.append(message.type), bound) and last == [Gst.MessageType.APPLICATION]

    def wait_frames(self, count, bound=BOUND):
        """Waits until so many more frames reached the sink; False where the line ended before."""
        self.expect_frames(count)
        return self.wait_expected(bound)

    def drain(self):
        while (message := self.bus.pop()) is not None:
            self.said.take(message)

    def wait(self, until, bound=BOUND):
        """Takes messages until one of them is what is waited for; False where none came in time."""
        while (message := self.bus.timed_pop(bound)) is not None:
            self.said.take(message)
            if until(message):
                return True
        holdings.tell_threads()
        return False

    def end(self, bound=BOUND):
        """Waits for EOS or the first error."""
        return self.wait(lambda message: message.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR), bound)
