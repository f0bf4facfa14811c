# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scripts that compare with other frameworks share: the references' Python, onnx-run, TAP."""
import json
import os
import pathlib
import subprocess
import sys
import tarfile


def enter(build, required=True):
    """Goes on with the virtual environment of the references in the build folder. Where there is none, skips the whole
    test, or returns False if it is not required."""
    python = pathlib.Path(build) / "venv" / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == (pathlib.Path(build) / "venv").resolve():
        return True
    ready = python.exists() and subprocess.run([python, "-c", "import onnx, onnxruntime, numpy"],
                                               capture_output=True).returncode == 0
    if not ready and not required:
        return False
    if not ready:
        print(f"1..0 # SKIP no ONNX Runtime in {python.parents[1]} (scripts/venv references makes it)")
        sys.exit(0)
    os.execv(python, [str(python), "-W", "ignore", *sys.argv])


def operators_of(archive):
    """All that are in the networks of tensorflow/generate.py."""
    with tarfile.open(archive) as cases:
        return {op for entry in json.load(cases.extractfile("cases.json")) for op in entry["ops"]}


class Tap:
    """Numbered results; the plan comes last, since cases are found while going."""

    def __init__(self):
        self.n = self.failed = 0
        print("TAP version 13")

    def result(self, ok, name, detail=""):
        self.n += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.n} - {name}")
        if detail:
            self.note(detail)

    def skip(self, name, why):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {why}")

    @staticmethod
    def note(text):
        for line in text.splitlines():
            print(f"# {line}")
        sys.stdout.flush()

    def finish(self):
        print(f"1..{self.n}")
        sys.exit(1 if self.failed else 0)


def stages(backend):
    """Which graphs onnx-run runs on a backend."""
    return ("literal", "rewritten") if backend == "ref" else ("rewritten",)


def run_cases(onnx_run, cases, backend="ref", timeout=None):
    """Runs cases, (model, output prefix, [input.pb]) each, in one process; yields what onnx-run said of each, split.
    A case that kills the process is ("error", "crash", ...), and the rest goes on in another one."""
    cases = list(cases)
    while cases:
        lines = "".join("\t".join(map(str, (model, prefix, *inputs))) + "\n" for model, prefix, inputs in cases)
        ran = subprocess.run([onnx_run, "--backend", backend], input=lines, capture_output=True, text=True,
                             timeout=timeout)
        answers = ran.stdout.split("\n")[:-1]
        for answer in answers:
            yield tuple(answer.split("\t"))
        cases = cases[len(answers):]
        if cases:
            yield ("error", "crash", "0", f"onnx-run ended with {ran.returncode}: {ran.stderr[-500:]}")
            cases = cases[1:]
