#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-operators.py ONNX-RUN SOURCE

docs/OPERATORS.md: its table has a row for each operator of the ONNX importer's own table, in its order, with the first opset
taken, and no other; its lists of the other formats are those of their importers' tables.
"""
import pathlib
import re
import subprocess
import sys

onnx_run, source = sys.argv[1:]
taken = [tuple(line.split("\t")) for line in subprocess.run([onnx_run, "--list-opsets"], capture_output=True, text=True,
                                                             check=True).stdout.splitlines()]
source = pathlib.Path(source)
text = (source / "docs" / "OPERATORS.md").read_text()
shared = "models/tf/tf-ops.c"
lists = {"TensorFlow Lite": {"models/tflite/tflite-ops.c": r'^    \{"(\w+)"', shared: r'^    \{"(\w+)", \{'},
         "TensorFlow's frozen graphs": {"models/tf/graphdef-ops.c": r'^    \{"(\w+)"', shared: r'^    \{"\w+", \{"(\w+)"'},
         "Caffe": {"models/caffe/caffe-types.c": r'^    MAP\("(\w+)"'}}
told = re.findall(r"^\| `([A-Za-z0-9.]+)` \| (\d+|-) \|", text, re.MULTILINE)
told = [(name, taken_at) for name, taken_at in told]
expected = [(name, "-" if name.startswith("com.microsoft.") else opset) for name, opset in taken]
failed = 0
print("TAP version 13")
print(f"1..{len(expected) + 1 + len(lists)}")
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
for number, (title, tables) in enumerate(lists.items(), len(expected) + 2):
    listed = re.search(rf"^## {title}\n.*?\n\n(`.*?`)\.\n\n?", text, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"`(\w+)`", listed[1]) if listed else []
    table = sorted(name for path, row in tables.items() for name in re.findall(row, (source / path).read_text(), re.MULTILINE))
    ok = len(table) > 30 and listed == table
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {title}")
    if not ok:
        print(f"# {', '.join(sorted(set(listed) ^ set(table))) or 'the order'} differs from {', '.join(tables)}")
sys.exit(failed > 0)
