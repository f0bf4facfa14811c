#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-nets.py ONNX-RUN BUILD [--backend NAME] [NET...]

torchvision's nets with random weights (export-nets.py) against ONNX Runtime on the same file: one picture and a batch of
three, the graph as imported and as rewritten, the file with a free batch and the one with batch 1 in its constants.
Bound: max |a - b| <= 1e-4 x (max - min of ONNX Runtime's logits), and those span at least 1.
The exported files are kept in the build folder.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile

import references

NETS = """alexnet vgg16 resnet18 resnet50 squeezenet1_1 googlenet densenet121 mobilenet_v2 mobilenet_v3_small
          shufflenet_v2_x1_0 mnasnet1_0 efficientnet_b0 regnet_y_400mf""".split()
PYTORCH = "/usr/bin/python3"

parser = argparse.ArgumentParser()
parser.add_argument("onnx_run")
parser.add_argument("build")
parser.add_argument("--backend", default="ref")
parser.add_argument("nets", nargs="*", metavar="NET", default=NETS)
options = parser.parse_intermixed_args()
references.enter(options.build)

import numpy as np
import onnxruntime
from onnx import TensorProto, numpy_helper

exporter = pathlib.Path(__file__).resolve().with_name("export-nets.py")
cache = pathlib.Path(options.build) / "nets"
if subprocess.run([PYTORCH, "-c", "import torchvision"], capture_output=True).returncode != 0:
    print(f"1..0 # SKIP {PYTORCH} has no torchvision (Debian's python3-torchvision)")
    sys.exit(0)


def exported(net):
    """The folder with the net's two files; made anew when the exporter has changed."""
    folder = cache / net
    stamp = hashlib.sha256(exporter.read_bytes()).hexdigest()
    if not (folder / "stamp").exists() or (folder / "stamp").read_text() != stamp:
        folder.mkdir(parents=True, exist_ok=True)
        ran = subprocess.run([PYTORCH, exporter, folder, net], capture_output=True, text=True)
        if ran.returncode != 0:
            raise RuntimeError(f"{exporter.name} {net}: {ran.stderr[-2000:]}")
        (folder / "stamp").write_text(stamp)
    return folder


def onnxruntime_logits(model, pictures):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    return [session.run(None, {"input": x})[0] for x in pictures]


def compare(tap, name, prefix, expected):
    for stage in references.stages(options.backend):
        stored = TensorProto.FromString(pathlib.Path(f"{prefix}.{stage}.0.pb").read_bytes())
        found = numpy_helper.to_array(stored)
        if found.shape != expected.shape:
            tap.result(False, f"{name}, {stage}", f"shape {found.shape}, expected {expected.shape}")
            continue
        span = float(expected.max() - expected.min())
        worst = float(np.abs(found - expected).max())
        # written so that NaN fails
        tap.result(span >= 1 and worst <= 1e-4 * span, f"{name}, {stage}",
                   f"differs by {worst:.3g}, {worst / span:.2g} of the range {span:.3g}")


tap = references.Tap()
for net in options.nets:
    try:
        folder = exported(net)
    except RuntimeError as error:
        tap.result(False, f"{net}: export", str(error))
        continue
    rng = np.random.default_rng(2)
    pictures = [rng.standard_normal((n, 3, 224, 224), np.float32) for n in (1, 3)]
    logits = onnxruntime_logits(folder / f"{net}.onnx", pictures)
    with tempfile.TemporaryDirectory(dir=options.build) as scratch:
        scratch = pathlib.Path(scratch)
        cases, names = [], []
        for picture, expected in zip(pictures, logits):
            batch = len(picture)
            path = scratch / f"{batch}.pb"
            path.write_bytes(numpy_helper.from_array(picture).SerializeToString())
            cases.append((folder / f"{net}.onnx", scratch / f"free.{batch}", [path]))
            names.append((f"{net}, free batch, N={batch}", expected))
        cases.append((folder / f"{net}.static.onnx", scratch / "static.3", [scratch / "3.pb"]))
        names.append((f"{net}, batch 1 in the file, N=3", logits[1]))
        for case, (name, expected), answer in zip(cases, names,
                                                  references.run_cases(options.onnx_run, cases, options.backend)):
            if answer[0] == "ok":
                compare(tap, name, case[1], expected)
            else:
                tap.result(False, name, f"{answer[1]}: {answer[3]}")
tap.finish()
