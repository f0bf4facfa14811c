#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-format.py clang: .clang-format everywhere but in plugin/; check-format.py gst: GStreamer's indent options there.

Exit 77 where the tool is missing or of another version than the one that made the files: versions differ in taste.
With --fix the files are rewritten.
"""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tree

CLANG_FORMAT_MAJOR = "14"  # Debian 12's
# what GStreamer's gst-indent passes to indent
INDENT = ["--braces-on-if-line", "--case-brace-indentation0", "--case-indentation2", "--braces-after-struct-decl-line",
          "--line-length80", "--no-tabs", "--cuddle-else", "--dont-line-up-parentheses", "--continuation-indentation4",
          "--honour-newlines", "--tab-size8", "--indent-level2", "--leave-preprocessor-space"]
GSTREAMER_STYLE = ("plugin/", "tests/plugin/")


def version_of(tool):
    if shutil.which(tool) is None:
        print(f"{tool} is not installed")
        sys.exit(77)
    return re.search(r"(\d+)[.\d]*", subprocess.run([tool, "--version"], capture_output=True, text=True).stdout).group(1)


def clang_format(path):
    return subprocess.run(["clang-format", "--style=file", tree.ROOT / path], capture_output=True, text=True, check=True).stdout


def gst_indent(path):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / path.name
        shutil.copy(tree.ROOT / path, copy)
        for _ in range(2):  # its first pass leaves things that its second one mends
            subprocess.run(["indent", *INDENT, copy, "-o", copy], check=True, capture_output=True)
        return copy.read_text()


mode, fix = sys.argv[1], "--fix" in sys.argv
if mode == "clang":
    major = version_of("clang-format")
    if major != CLANG_FORMAT_MAJOR:
        print(f"clang-format {major} is installed, the files are made by {CLANG_FORMAT_MAJOR}")
        sys.exit(77)
    paths = [p for p in tree.files(".c", ".h", ".cc", ".cu", ".cuh") if not str(p).startswith(GSTREAMER_STYLE) and "data" not in p.parts]
    formatter = clang_format
else:
    version_of("indent")
    paths = [p for p in tree.files(".c") if str(p).startswith(GSTREAMER_STYLE)]
    formatter = gst_indent

problems = []
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for path, wanted in zip(paths, pool.map(formatter, paths)):
        found = (tree.ROOT / path).read_text()
        if found == wanted:
            continue
        if fix:
            (tree.ROOT / path).write_text(wanted)
            continue
        line = next((n for n, (a, b) in enumerate(zip(found.splitlines(), wanted.splitlines()), 1) if a != b), 0)
        problems.append(f"{path}:{line or len(wanted.splitlines())}: not formatted; tests/style/check-format.py {mode} --fix mends it")
if not paths:
    print("no files of this style yet")
    sys.exit(77)
tree.report(problems, len(paths))
