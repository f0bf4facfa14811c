#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-fixed.py ONNX-RUN BUILD NETS.tar.xz [--backend NAME]... [NET...]

Small networks of timm and torchvision as PyTorch's exporters write them, their weights made here (fixed.py), against the
scores that PyTorch gives in float64 (make-fixed.py). On the reference the graph as imported and as rewritten, on other backends
the rewritten one. Bound: max |a - b| <= 1e-4 x (max - min of PyTorch's).
"""
import argparse
import json
import pathlib
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models"))
import references

BOUND = 1e-4

parser = argparse.ArgumentParser()
parser.add_argument("onnx_run")
parser.add_argument("build")
parser.add_argument("archive")
parser.add_argument("--backend", action="append", dest="backends")
parser.add_argument("nets", nargs="*", metavar="NET")
options = parser.parse_intermixed_args()
references.enter(options.build)

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

import fixed


def filled(stripped, formulas):
    """The file with its weights."""
    model = ModelProto.FromString(stripped)
    for tensor in model.graph.initializer:
        if tensor.name in formulas:
            name, a, b, transposed = formulas[tensor.name]
            shape = tuple(tensor.dims)
            x = fixed.values(name, shape[::-1] if transposed else shape, a, b)
            tensor.raw_data = (x.T if transposed else x).tobytes()
    return model.SerializeToString()


def check(tap, name, prefix, stage, expected):
    found = numpy_helper.to_array(TensorProto.FromString(pathlib.Path(f"{prefix}.{stage}.0.pb").read_bytes())).ravel()
    if found.shape != expected.shape:
        tap.result(False, name, f"{found.size} scores, expected {expected.size}")
        return
    off = float(np.abs(found - expected).max() / np.ptp(expected))
    tap.result(off <= BOUND, name, f"off by {off:.2g} of the range, allowed are {BOUND}" if not off <= BOUND else "")


tap = references.Tap()
with tarfile.open(options.archive) as archive:  # from end to end: each step back would unpack it anew
    members = {member.name: archive.extractfile(member).read() for member in archive}
with tempfile.TemporaryDirectory(dir=options.build) as folder:
    folder = pathlib.Path(folder)
    for name, net in json.loads(members["nets.json"]).items():
        if options.nets and name not in options.nets:
            continue
        model, picture = folder / "net.onnx", folder / "picture.pb"
        model.write_bytes(filled(members[name + ".onnx"], net["formulas"]))
        picture.write_bytes(numpy_helper.from_array(fixed.picture(net["picture"])).SerializeToString())
        for backend in options.backends or ["ref"]:
            prefix = folder / backend
            answer, = references.run_cases(options.onnx_run, [(model, prefix, [picture])], backend)
            if answer[0] != "ok":
                tap.result(False, f"{name}, {backend}", f"{answer[1]}: {answer[3]}")
                continue
            for stage in references.stages(backend):
                check(tap, f"{name}, {backend}, {stage}", prefix, stage, np.array(net["scores"]))
tap.finish()
