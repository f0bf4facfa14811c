#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mutate.py FROM TO OLD NEW: a copy of a kernel with one mistake; what is to be replaced must be there just once."""
import pathlib
import sys

source, target, old, new = sys.argv[1:]
text = pathlib.Path(source).read_text(encoding="utf-8")
if text.count(old) != 1:
    sys.exit(f"{source}: {old!r} is there {text.count(old)} times, expected once: choose other words in tests/kernels/emulate/meson.build")
pathlib.Path(target).write_text(text.replace(old, new), encoding="utf-8")
