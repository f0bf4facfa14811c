#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-operators.py ONNX-RUN OPERATORS.md

The page's table has a row for each operator of the importer's own table, in its order, with the first opset taken, and no
other.
"""
import pathlib
import re
import subprocess
import sys

onnx_run, page = sys.argv[1:]
taken = [tuple(line.split("\t")) for line in subprocess.run([onnx_run, "--list-opsets"], capture_output=True, text=True,
                                                             check=True).stdout.splitlines()]
text = pathlib.Path(page).read_text()
told = re.findall(r"^\| `([A-Za-z0-9.]+)` \| (\d+|-) \|", text, re.MULTILINE)
told = [(name, taken_at) for name, taken_at in told]
expected = [(name, "-" if name.startswith("com.microsoft.") else opset) for name, opset in taken]
failed = 0
print("TAP version 13")
print(f"1..{len(expected) + 1}")
for number, row in enumerate(expected, 1):
    ok = row in told
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {row[0]} from opset {row[1]}")
ok = told == expected
failed += not ok
print(f"{'ok' if ok else 'not ok'} {len(expected) + 1} - the table has these rows alone, in their order")
for row in told:
    if row not in expected:
        print(f"# {row[0]} from opset {row[1]} is not taken")
sys.exit(failed > 0)
