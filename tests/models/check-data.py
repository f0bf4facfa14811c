#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-data.py ONNX-RUN BUILD [--backend NAME]

Real files of other people, from the folder that GPUDL_TEST_DATA names: onnx_light/ against its stored outputs (input
0/n, 1/n, ...: they are constants, so this proves import and shapes, not arithmetic), and SqueezeNet 1.1 in float16 on
photographs against golden/, which ONNX Runtime computed in float32.
"""
import argparse
import os
import pathlib
import sys
import tempfile

import references

parser = argparse.ArgumentParser()
parser.add_argument("onnx_run")
parser.add_argument("build")
parser.add_argument("--backend", default="ref")
options = parser.parse_args()
if "GPUDL_TEST_DATA" not in os.environ:
    print("1..0 # SKIP GPUDL_TEST_DATA names no folder of models")
    sys.exit(0)
references.enter(options.build)

import numpy as np
import onnx
from PIL import Image
from onnx import TensorProto, numpy_helper

data = pathlib.Path(os.environ["GPUDL_TEST_DATA"])
tap = references.Tap()


def compare(name, path, expected, bound):
    found = numpy_helper.to_array(TensorProto.FromString(path.read_bytes())).astype(np.float64)
    if found.size != expected.size:
        tap.result(False, name, f"{found.size} values, expected {expected.size}")
        return
    worst = float(np.abs(found.ravel() - expected.ravel()).max())
    tap.result(worst <= bound, name, f"differs by {worst:.3g}, allowed are {bound:.3g}")


def check(name, model, picture, expected, bounds):
    with tempfile.TemporaryDirectory(dir=options.build) as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "in.pb").write_bytes(numpy_helper.from_array(picture).SerializeToString())
        [answer] = references.run_cases(options.onnx_run, [(model, scratch / "out", [scratch / "in.pb"])],
                                        options.backend)
        if answer[0] != "ok":
            tap.result(False, name, f"{answer[1]}: {answer[3]}")
            return
        for stage in references.stages(options.backend):
            bound = bounds[stage]
            compare(f"{name}, {stage}", scratch / f"out.{stage}.0.pb", expected, bound)


for model in sorted((data / "onnx_light").glob("*.onnx")):
    stored = model.with_name(model.stem + "_output_0.pb")
    if not stored.exists():
        tap.skip(model.name, f"no {stored.name}")
        continue
    graph = onnx.load(model, load_external_data=False).graph
    constants = {t.name for t in graph.initializer}
    [given] = [i for i in graph.input if i.name not in constants]
    shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
    n = int(np.prod(shape))
    expected = numpy_helper.to_array(TensorProto.FromString(stored.read_bytes())).astype(np.float64)
    # all values are equal, so there is no range to measure against
    bound = 1e-4 * float(np.abs(expected).max())
    check(model.name, model, (np.arange(n, dtype=np.float32) / n).reshape(shape), expected,
          {"literal": bound, "rewritten": bound})

squeezenet = data / "squeezenet" / "squeezenet1.1_fp16.onnx"
for photo in ("orange.png", "resized_cat.bmp", "fish.png"):
    golden = data / "golden" / f"squeezenet1.1_fp32__{pathlib.Path(photo).stem}.f32"
    if not squeezenet.exists() or not golden.exists():
        tap.skip(f"{squeezenet.name} on {photo}", "not there")
        continue
    rgb = np.asarray(Image.open(data / "photos" / photo).convert("RGB"), np.float32)
    bgr = rgb[:, :, ::-1].transpose(2, 0, 1)[None] - np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1)
    expected = np.fromfile(golden, np.float32).astype(np.float64)
    span = float(expected.max() - expected.min())
    # the values are whole numbers below 256, exact in float16; as imported the graph rounds to it after each step
    check(f"{squeezenet.name} on {photo}", squeezenet, bgr.astype(np.float16), expected,
          {"literal": 2e-2 * span, "rewritten": 1e-4 * span})

# quantised: the golden values were computed in float of the weights that the file has, ReLU6 where a zero point is 0
quantised = data / "mobilenet" / "mobilenet_v2_quant.onnx"
for photo in ("orange.png", "resized_cat.bmp"):
    golden = data / "golden" / f"mobilenet_v2_quant_dequantized__{pathlib.Path(photo).stem}.f32"
    if not quantised.exists() or not golden.exists():
        tap.skip(f"{quantised.name} on {photo}", "not there")
        continue
    rgb = np.asarray(Image.open(data / "photos" / photo).convert("RGB"), np.float32) / 255
    mean, std = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)
    expected = np.fromfile(golden, np.float32).astype(np.float64)
    span = float(expected.max() - expected.min())
    check(f"{quantised.name} on {photo}", quantised, ((rgb - mean) / std).transpose(2, 0, 1)[None].copy(), expected,
          {"literal": 1e-4 * span, "rewritten": 1e-4 * span})
tap.finish()
