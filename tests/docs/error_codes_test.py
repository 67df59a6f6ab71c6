#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error code is documented, and no documented code is gone. Usage: error_codes_test.py SOURCE-ROOT"""
import re
import sys
from pathlib import Path

root = Path(sys.argv[1])
made = set(re.findall(r'"(HL-[A-Z0-9]+-\d{3})"', (root / "hl-bridge/core/error.h").read_text(encoding="utf-8")))
told = set(re.findall(r"^\| (HL-[A-Z0-9]+-\d{3}) \|", (root / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE))
for code in sorted(made ^ told):
    print(f"{code} is {'not documented' if code in made else 'documented, but no error has it'}")
if not made:
    print("no codes found in error.h")
sys.exit(1 if made ^ told or not made else 0)
