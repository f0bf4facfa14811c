#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-headers.py BUILD_FOLDER PACKAGE[,PACKAGE...] CC...: every header compiles alone, as C11.

Tables of data (folders called data) are no headers, those of tests/kernels/emulate are C++. Headers of rooms whose outside libraries are not there (CUDA, GStreamer) are left out and named.
"""
import subprocess
import sys

import tree

build, packages, *compiler = sys.argv[1:]
problems, checked = [], 0
flags = []
for package in packages.split(","):
    found = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
    if found.returncode == 0:
        flags += found.stdout.split()
have_gst = any("gstreamer" in flag for flag in flags)
for header in tree.files(".h"):
    if "data" in header.parts or "emulate" in header.parts:
        continue
    if "cuda" in header.parts or (header.parts[0] in ("video", "plugin", "tests") and not have_gst):
        print(f"left out: {header}")
        continue
    source = f'#include "{header}"\n#include "{header}"\ntypedef int not_an_empty_file;\n'
    ran = subprocess.run([*compiler, "-std=gnu11", "-fsyntax-only", "-Wall", "-Werror", "-DGPUDL_COMPILATION", "-x", "c",
                          "-I", tree.ROOT, "-I", build, *flags, "-"], input=source, capture_output=True, text=True)
    checked += 1
    if ran.returncode != 0:
        problems.append(f"{header} does not compile alone:\n{ran.stderr}")
tree.report(problems, checked)
