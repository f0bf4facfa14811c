#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-tensorflow.py TF-RUN CASES.tar.xz BUILD

Networks that TensorFlow wrote (tensorflow/generate.py) against what it computes of them: GraphDef and TensorFlow Lite in
float32 within 2e-5 of the largest value; those in int8 and int16, which are computed in float here, within steps of their integers.
"""
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import references

tf_run, archive, build = sys.argv[1:4]
try:
    import numpy as np
except ImportError:
    references.enter(build)
    import numpy as np

CLOSE = 2e-5  # of the largest value: sums of at most some hundred products in float32
STEPS = 1.5   # of the coarsest integers in the network: each operator of the other runtime rounds to half of one


def judge(entry, answer, folder):
    """What is wrong with a case, or nothing."""
    if not answer.startswith("ok"):
        return answer
    fields = answer.split("\t")[1:]
    if len(fields) != len(entry["outputs"]):
        return f"{len(fields)} outputs, expected {len(entry['outputs'])}"
    for i, (name, shape) in enumerate(entry["outputs"]):
        want = np.fromfile(folder / name, "<f4")
        if fields[i] != "float32 " + "x".join(map(str, shape)):
            return f"output {i} is {fields[i]}, expected {shape}"
        bound = STEPS * max(entry["steps"]) if "steps" in entry else CLOSE * max(1, np.abs(want).max())
        for stage in ("literal", "rewritten"):
            got = np.fromfile(folder / f"out.{entry['file']}.{stage}.{i}", "<f4")
            off = np.abs(got - want).max() if got.size == want.size else np.inf
            if not off <= bound:
                return f"{stage}, output {i}: off by {off:.3g}, at most {bound:.3g}"
    return ""


tap = references.Tap()
with tempfile.TemporaryDirectory(prefix="gpudl-tensorflow-") as folder:
    folder = pathlib.Path(folder)
    with tarfile.open(archive) as cases:
        cases.extractall(folder)
    entries = json.loads((folder / "cases.json").read_text())
    lines = "".join("\t".join(map(str, (folder / e["file"], folder / f"out.{e['file']}", *(folder / name for name, _ in e["inputs"])))) + "\n"
                    for e in entries)
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=250).stdout.splitlines()
    for entry, answer in zip(entries, answers + ["no answer"] * (len(entries) - len(answers))):
        wrong = judge(entry, answer, folder)
        tap.result(not wrong, entry["name"], wrong)
tap.finish()
