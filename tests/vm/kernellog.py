# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the virtual machine's kernel log (the format of /dev/kmsg) and finds what no test may cause: warnings, oopses, stalls, lockdep reports."""

import dataclasses
import pathlib
import re

ALLOWED = pathlib.Path(__file__).with_name('dmesg-allowed.txt')
BEGIN = 'hl-vm: begin '
END = 'hl-vm: end'

# How the kernel's complaints begin. A trace without one of the headings is caught by the last alternative.
COMPLAINT = re.compile(r'''
    ^WARNING:|\bBUG:|\bkernel\ BUG\ at\b|^Oops\b|^Kernel\ panic\b|\bgeneral\ protection\ fault\b|^INFO:\ task\ |^INFO:\ possible\ |^INFO:\ suspicious\ |^INFO:\ trying\ to\ register\ |
    \bdetected\ (?:expedited\ )?stalls?\b|\bself-detected\ stall\b|\bdouble\ fault\b|\bBad\ page\ state\b|\bpage\ allocation\ failure\b|\brefcount_t:|\blist_(?:add|del)\ corruption\b|
    ^UBSAN:|^=+\ \[|^unregister_netdevice:|\bwrong\ timeout\ value\b|^Call\ Trace:''', re.VERBOSE)
TRACE_END = re.compile(r'---\[ end |^ *</TASK>$')
TRACE_LINES = 100                       # a longer report is cut into several complaints


@dataclasses.dataclass
class Complaint:
    """One report of the kernel: the test that was running, and the lines."""
    section: str
    lines: list

    def text(self):
        return '\n'.join(self.lines)


def unescape(text):
    """/dev/kmsg writes unprintable characters, a newline among them, as \\xNN."""
    return re.sub(r'\\x([0-9a-f]{2})', lambda m: chr(int(m.group(1), 16)), text)


class KernelLog:
    def __init__(self):
        self.records = []               # text of each line, in order
        self.ended = False              # the guest has said that the run is over
        self._rest = b''

    def feed(self, data):
        *lines, self._rest = (self._rest + data).split(b'\n')
        for line in lines:
            head, separator, text = line.decode(errors='replace').partition(';')
            if not separator or not re.match(r'\d+,\d+,', head):
                continue                # a record's continuation: key=value of its device
            self.records += unescape(text).split('\n')
            self.ended = self.ended or text == END

    def complaints(self, allowed=()):
        """What the kernel complained of, without the reports that contain one of the allowed texts."""
        found, section, current = [], '', None
        for line in self.records:
            if line.startswith(BEGIN):
                section, current = line[len(BEGIN):], None
            elif line == END:
                current = None
            elif current:
                current.lines.append(line)
                if TRACE_END.search(line) or len(current.lines) >= TRACE_LINES:
                    current = None
            elif COMPLAINT.search(line):
                current = Complaint(section, [line])
                found.append(current)
        return [one for one in found if not any(text in one.text() for text in allowed)]


def allowed_texts(path=ALLOWED):
    """The lines of the file of exceptions; # begins a comment line."""
    return [line.strip() for line in path.read_text(encoding='utf-8').splitlines() if line.strip() and not line.startswith('#')]
