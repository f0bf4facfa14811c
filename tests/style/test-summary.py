#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts/summary.py counts what it should: every kind of outcome a test log can hold, and logs that are not there."""
import json
import pathlib
import subprocess
import sys
import tempfile

SUMMARY = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "summary.py"


def entry(name, result, stdout="", returncode=0):
    return {"name": name, "result": result, "stdout": stdout, "returncode": returncode}


CASES = [
    # what, log entries, further arguments, last line, exit status, lines that must appear
    ("plain programs", [entry("a", "OK"), entry("b", "FAIL", "boom", 1), entry("c", "SKIP", "no GPU here", 77)], [],
     "1 passed, 1 failed, 1 skipped", 1, ["failed: t: b: fail", "skipped: t: c: no GPU here"]),
    ("TAP by case", [entry("a", "OK", "TAP version 13\n1..3\nok 1 /x/one\nok 2 /x/two # SKIP wants data\nok 3 /x/three\n")],
     [], "2 passed, 0 failed, 1 skipped", 0, ["skipped: t: a /x/two: wants data"]),
    ("TAP failure", [entry("a", "FAIL", "1..2\nok 1 /x\nnot ok 2 /y\n", 1)], [],
     "1 passed, 1 failed, 0 skipped", 1, ["failed: t: a /y"]),
    ("TAP crash after passes", [entry("a", "ERROR", "1..2\nok 1 /x\n", -11)], [],
     "1 passed, 1 failed, 0 skipped", 1, ["failed: t: a: error (exit status -11)"]),
    ("TAP subtests", [entry("a", "OK", "# Start\n    ok 1 /s/x\n    ok 2 /s/y # SKIP later\n    1..2\nok 1 s\nok 2 /z\n1..2\n")],
     [], "2 passed, 0 failed, 1 skipped", 0, ["skipped: t: a /s/y: later"]),
    ("whole plan skipped", [entry("a", "SKIP", "1..0 # SKIP no display\n"), entry("b", "OK")], [],
     "1 passed, 0 failed, 1 skipped", 0, ["skipped: t: a: no display"]),
    ("timeout", [entry("a", "TIMEOUT", "", -9)], [], "0 passed, 1 failed, 0 skipped", 1, ["failed: t: a: timeout"]),
    ("expected failure passes", [entry("a", "EXPECTEDFAIL"), entry("b", "UNEXPECTEDPASS")], [],
     "1 passed, 1 failed, 0 skipped", 1, ["failed: t: b: unexpectedpass"]),
    ("nothing ran", [], [], "0 passed, 0 failed, 0 skipped", 1, []),
    ("a step failed", [entry("a", "OK")], ["--failure", "build failed"],
     "1 passed, 1 failed, 0 skipped", 1, ["failed: build failed"]),
    ("no log", None, [], "0 passed, 1 failed, 0 skipped", 1, ["failed: t: no test log"]),
]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (what, log, further, last, status, lines) in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "testlog.json"
            if log is not None:
                path.write_text("".join(json.dumps(e) + "\n" for e in log))
            ran = subprocess.run([sys.executable, SUMMARY, *further, f"t={path}"], capture_output=True, text=True)
        out = ran.stdout.splitlines()
        good = ran.returncode == status and out[-1:] == [last] and all(any(o.startswith(l) for o in out) for l in lines)
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} {what}")
        if not good:
            print(f"# exit {ran.returncode}, expected {status}; last line expected: {last}")
            print("".join(f"# {o}\n" for o in out + ran.stderr.splitlines()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
