#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: unpack.py WHEEL FOLDER_INSIDE TO NAME...: copies files out of a wheel, without anything else of it."""
import pathlib
import sys
import zipfile

wheel, folder, to, *names = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in names:
        pathlib.Path(to, name).write_bytes(archive.read(f"{folder}/{name}"))
