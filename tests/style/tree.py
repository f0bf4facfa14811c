# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the style checks share: the list of the source tree's files, and the report."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*suffixes, under=""):
    """Paths relative to the root, sorted, that end in one of the suffixes (all without). What git ignores is left out;
    a tree without git is walked, without build folders."""
    try:
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if not f.startswith((".git", "build", "__pycache__"))]
            listed += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return [pathlib.PurePosixPath(f) for f in sorted(set(listed))
            if f and f.startswith(under) and (not suffixes or f.endswith(suffixes)) and (ROOT / f).is_file()]


def text(path):
    """The file's text, or None for a binary one."""
    data = (ROOT / path).read_bytes()
    if b"\0" in data[:8192]:
        return None
    return data.decode("utf-8", errors="replace")


def interpreter(path):
    """"bash", "python3", ...: what the first line says, or None."""
    with open(ROOT / path, "rb") as file:
        first = file.readline(200)
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode().split()
    return (words[-1] if words[0].endswith("/env") else words[0]).rsplit("/", 1)[-1]


def report(problems, checked):
    """Ends a check: prints each problem and exits 1, or says how many files were fine. Checking nothing is a failure."""
    for problem in problems:
        print(problem)
    if not checked:
        print("no file was checked")
    print(f"{len(problems)} problems in {checked} files")
    sys.exit(1 if problems or not checked else 0)
