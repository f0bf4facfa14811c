# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the gpudl command share: their arguments GPUDL MAKE-MODEL TESTCARD STEPS, how it is run, how they
tell of it. TESTCARD is a folder; STEPS is where backends are that steps-backend.c tells all about."""
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

GPUDL, MAKE_MODEL, TESTCARD = *map(os.path.abspath, sys.argv[1:3]), Path(sys.argv[3])
STEPS = {**os.environ, "GPUDL_BACKEND_PATH": sys.argv[4]}
COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
tests = []


def test(function):
    tests.append(function)
    return function


class Skip(Exception):
    """What keeps a test from being run here."""


def gpudl(*args, backend="ref", **options):
    """Runs gpudl; ref is used where a backend can be named, so that the answers do not depend on this machine."""
    args = [str(a) for a in args]
    if args and args[0] in ("run", "eval") and backend and "--help" not in args:
        args.insert(1, f"--backend={backend}")
    return subprocess.run([GPUDL, *args], capture_output=True, text=True, timeout=60, **options)


def write_png(path, rgb, size=16):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(rgb) * size) * size
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def check_run(result, code, stderr_starts=None):
    check(result.returncode == code,
          f"exit code {result.returncode}, expected {code}; stderr: {result.stderr}; stdout: {result.stdout}")
    if stderr_starts is None:
        check(result.stderr == "", f"stderr: {result.stderr}")
    else:
        check(result.stderr.startswith(stderr_starts), f"stderr: {result.stderr}, expected {stderr_starts}...")


def main(prepare=None):
    """Runs all tests in a folder with net.bin, and what prepare(folder) puts there."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl cli ") as name:
        dir = Path(name)
        subprocess.run([MAKE_MODEL, dir / "net.bin"], check=True)
        if prepare:
            prepare(dir)
        for i, function in enumerate(tests, 1):
            try:
                function(dir)
                print(f"ok {i} - {function.__name__}", flush=True)
            except Skip as why:
                print(f"ok {i} - {function.__name__} # SKIP {why}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0

