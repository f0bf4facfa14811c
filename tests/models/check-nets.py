#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-nets.py ONNX-RUN NET-NODES BUILD [--backend NAME]... [NET...]

torchvision's nets with random weights (export-nets.py), each exported once, checked in two ways, and gone again where
CI=true and they are large.

What the rewrites make of the file with its batch norms as they are: as few nodes as one would draw by hand, and the same
results. Then ONNX Runtime on the same file: one picture and a batch of three, the graph as imported and as rewritten, the
file with a free batch and the one with batch 1 in its constants. Bound: max |a - b| <= 1e-4 x (max - min of ONNX
Runtime's logits), and those span at least 1. Without ONNX Runtime that half is skipped.
The exported files are kept in the build folder for bench and the next time.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import references

NETS = """alexnet vgg16 resnet18 resnet50 squeezenet1_1 googlenet densenet121 mobilenet_v2 mobilenet_v3_small
          shufflenet_v2_x1_0 mnasnet1_0 efficientnet_b0 regnet_y_400mf""".split()
PYTORCH = "/usr/bin/python3"
LARGE = 100e6  # bytes of a net's files

# file: nodes after the rewrites, convolutions with an activation, with a residual. Squeeze and excite leaves one
# GlobalAveragePool and one Mul a block; DenseNet's norms stand before their convolutions and cannot be folded, as
# GoogLeNet's own normalisation of the picture before its padded first convolution cannot.
SHUFFLE = ("Conv:56 Gemm:1 MaxPool:1 GlobalAveragePool:1 Reshape:33 Transpose:16 Concat:16 Slice:26", 37, 0)
REWRITTEN = {
    "mobilenet_v2.static": ("Conv:52 Gemm:1 GlobalAveragePool:1 Reshape:1", 35, 10),
    "mobilenet_v3_small.static": ("Conv:52 Gemm:2 GlobalAveragePool:10 Mul:9 Reshape:1", 41, 6),
    "efficientnet_b0.static": ("Conv:81 Gemm:1 GlobalAveragePool:17 Mul:16 Reshape:1", 65, 9),
    "shufflenet_v2_x1_0.static": SHUFFLE,
    "shufflenet_v2_x1_0.batch4": SHUFFLE,
    "regnet_y_400mf.static": ("Conv:85 Gemm:1 GlobalAveragePool:17 Mul:16 Reshape:1", 81, 16),
    "resnet50.static": ("Conv:53 Gemm:1 MaxPool:1 GlobalAveragePool:1 Reshape:1", 49, 16),
    "googlenet.static": ("Conv:57 Gemm:1 MaxPool:13 GlobalAveragePool:1 BatchNorm:1 Reshape:1 Concat:9", 57, 0),
    "densenet121.static": (
        "Conv:120 Gemm:1 MaxPool:1 AveragePool:3 GlobalAveragePool:1 BatchNorm:62 Activation:62 Reshape:1 Concat:58",
        59, 0),
}
SAME = 1e-5  # of the range: the rewrites change the order of sums, no more

parser = argparse.ArgumentParser()
parser.add_argument("onnx_run")
parser.add_argument("net_nodes")
parser.add_argument("build")
parser.add_argument("--backend", action="append", dest="backends")
parser.add_argument("nets", nargs="*", metavar="NET", default=NETS)
options = parser.parse_intermixed_args()
have_references = references.enter(options.build, required=False)
if have_references:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, numpy_helper

exporter = pathlib.Path(__file__).resolve().with_name("export-nets.py")
cache = pathlib.Path(options.build) / "nets"
if subprocess.run([PYTORCH, "-c", "import torchvision"], capture_output=True).returncode != 0:
    print(f"1..0 # SKIP {PYTORCH} has no torchvision (Debian's python3-torchvision)")
    sys.exit(0)


def exported(net):
    """The folder with the net's files."""
    ran = subprocess.run([PYTORCH, "-W", "ignore", exporter, cache, net], capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(f"{exporter.name} {net}: {ran.stderr[-2000:]}")
    return cache / net


def check_rewrites(tap, path):
    ran = subprocess.run([options.net_nodes, path], capture_output=True, text=True)
    name = f"{path.stem}, rewrites"
    if ran.returncode != 0:
        tap.result(False, name, ran.stderr.strip())
        return
    _, batch, nodes, acts, residuals, difference = ran.stdout.strip().split("\t")
    expected, found = REWRITTEN[path.stem], (nodes, int(acts), int(residuals))
    wrong = []
    if batch != "symbolic":
        wrong.append("the batch is not symbolic")
    if found != expected:
        wrong.append(f"found {found}, expected {expected}")
    if not float(difference) <= SAME:
        wrong.append(f"results differ by {difference} of the range, allowed is {SAME}")
    tap.result(not wrong, name, "\n".join(wrong))


def onnxruntime_logits(model, pictures):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    return [session.run(None, {"input": x})[0] for x in pictures]


def compare(tap, name, path, expected):
    found = numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
    if found.shape != expected.shape:
        tap.result(False, name, f"shape {found.shape}, expected {expected.shape}")
        return
    span = float(expected.max() - expected.min())
    worst = float(np.abs(found - expected).max())
    # written so that NaN fails
    tap.result(span >= 1 and worst <= 1e-4 * span, name,
               f"differs by {worst:.3g}, {worst / span:.2g} of the range {span:.3g}")


def check_results(tap, net, folder):
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
        for backend in options.backends or ["ref"]:
            answers = references.run_cases(options.onnx_run, cases, backend)
            for case, (name, expected), answer in zip(cases, names, answers):
                if answer[0] != "ok":
                    tap.result(False, f"{name}, {backend}", f"{answer[1]}: {answer[3]}")
                    continue
                for stage in references.stages(backend):
                    compare(tap, f"{name}, {backend}, {stage}", pathlib.Path(f"{case[1]}.{stage}.0.pb"), expected)


def tidy(folder):
    if os.environ.get("CI") == "true" and sum(f.stat().st_size for f in folder.iterdir()) > LARGE:
        shutil.rmtree(folder)


tap = references.Tap()
for net in options.nets:
    try:
        folder = exported(net)
    except RuntimeError as error:
        tap.result(False, f"{net}: export", str(error))
        continue
    for path in sorted(folder.glob("*.onnx")):
        if path.stem in REWRITTEN:
            check_rewrites(tap, path)
    if have_references:
        check_results(tap, net, folder)
    else:
        tap.skip(f"{net}, against ONNX Runtime", "no ONNX Runtime (scripts/venv references installs it)")
    tidy(folder)
tap.finish()
