#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: test-precision.py GPUDL DEMO-FOLDER

Real weights in bf16 against the same in fp32, on what they were trained for: the demo's EfficientNet-Lite0 on its photographs, and
from the folder that GPUDL_TEST_DATA names SqueezeNet 1.1 on photographs and LeNet on a thousand digits.
The best class is the same on every picture whose margin is more than 0.05 in fp32, no probability moves by more than MOST, and of the
digits as many are right within 0.1 per cent.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / folder) for folder in ("models", "tools")]
import onnxfile
from references import Tap

MARGIN = 0.05
# Lite0 moves one probability of fifteen photographs by 0.027, where it is near a half; all others are within 0.02. Neither a stem
# nor a head in float32 changes that: it is what eight bits between some fifty steps come to.
MOST = {"EfficientNet-Lite0": 0.03}
MOST_ELSE = 0.02
gpudl, demo = sys.argv[1], pathlib.Path(sys.argv[2])
data = pathlib.Path(os.environ["GPUDL_TEST_DATA"]) if "GPUDL_TEST_DATA" in os.environ else None


def classify(precision, model, files):
    """A list of probabilities by class for each frame."""
    ran = subprocess.run([gpudl, "run", "--json", "--backend=cpu", "--top-k=0", f"--precision={precision}", model, *files],
                         capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr)
    return [{r["id"]: r["confidence"] for r in json.loads(line)["results"]} for line in ran.stdout.splitlines()]


def best(probabilities):
    return max(probabilities, key=probabilities.get)


def compare(name, model, files):
    """Both precisions' answers; the checks that all networks have."""
    wide, narrow = (classify(precision, model, files) for precision in ("fp32", "bf16"))
    changed, undecided, moved = [], 0, 0.
    for i, (a, b) in enumerate(zip(wide, narrow)):
        first, second = sorted(a.values(), reverse=True)[:2]
        moved = max(moved, max(abs(a[k] - b[k]) for k in a))
        if first - second <= MARGIN:
            undecided += 1
        elif best(a) != best(b):
            changed.append(i)
    tap.note(f"{name}: {len(wide)} pictures, {undecided} of them undecided; a probability moves by {moved:.4f} at most")
    tap.result(len(wide) == len(narrow) > 0 and not changed, f"{name}: the best class is the same", f"not of {changed}" if changed else "")
    most = MOST.get(name, MOST_ELSE)
    tap.result(0 < moved <= most, f"{name}: probabilities move by {most} at most")
    return wide, narrow


def lite0():
    model, pictures = demo / "efficientnet-lite0.bin", sorted((demo / "photos").glob("*.[jp][pn]g"))
    if not (demo / "efficientnet-lite0.onnx").exists() or not (demo / "photos" / "manifest.json").exists():
        tap.skip("EfficientNet-Lite0", "models/recipes/efficientnet-lite0/obtain downloads it")
        return
    # nobody else may have done it yet
    subprocess.run([pathlib.Path(__file__).parents[2] / "models/recipes/efficientnet-lite0/convert", gpudl], check=True, stdout=sys.stderr)
    compare("EfficientNet-Lite0", model, pictures + (photographs(data) if data else []))


def photographs(folder):
    return sorted(p for p in (folder / "photos").iterdir() if p.suffix in (".jpg", ".png", ".bmp"))


def squeezenet(scratch):
    source = data / "squeezenet" / "squeezenet1.1_fp16.onnx"
    if not source.exists():
        tap.skip("SqueezeNet 1.1", f"no {source}")
        return
    subprocess.run([gpudl, "convert", source, "-o", scratch / "squeezenet.bin", "--mean=104,117,123", "--std=1,1,1", "--scale=1",
                    "--channel-order=bgr"], check=True, stdout=subprocess.DEVNULL)
    compare("SqueezeNet 1.1", scratch / "squeezenet.bin", photographs(data))


# ---- LeNet: Caffe's weights -----------------------------------------------------------------------------------------------

def fields(message):
    """Number and value of each field: an integer, or bytes."""
    at = 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, message[at:at + size]
            at += size


def caffe_blobs(path):
    """Weights and biases by layer, as little-endian floats."""
    layers = {}
    for number, layer in fields(path.read_bytes()):
        if number not in (2, 100):  # V1LayerParameter, LayerParameter
            continue
        name, blobs = (4, 6) if number == 2 else (1, 7)
        parts = list(fields(layer))
        called = next(value.decode() for n, value in parts if n == name)
        layers[called] = [b"".join(v for k, v in fields(blob) if k == 5) for n, blob in parts if n == blobs]
    return layers


def lenet_model(blobs):
    w = {f"{layer}_{i}": blob for layer, pair in blobs.items() for i, blob in enumerate(pair)}
    shapes = {"conv1_0": [20, 1, 5, 5], "conv1_1": [20], "conv2_0": [50, 20, 5, 5], "conv2_1": [50], "ip1_0": [500, 800],
              "ip1_1": [500], "ip2_0": [10, 500], "ip2_1": [10]}
    node = onnxfile.node
    parts = [onnxfile.constant(name, dims, w[name]) for name, dims in shapes.items()] + [
        node("Conv", "x conv1_0 conv1_1", "a"), node("MaxPool", "a", "b", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "b conv2_0 conv2_1", "c"), node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "d", "e"), node("Gemm", "e ip1_0 ip1_1", "f", transB=1), node("Relu", "f", "g"),
        node("Gemm", "g ip2_0 ip2_1", "h", transB=1), node("Softmax", "h", "y", axis=1)]
    return onnxfile.model(parts, [onnxfile.value("x", [1, 1, 28, 28])], [onnxfile.value("y", [1, 10])])


def lenet(scratch):
    source, digits = data / "mnist" / "lenet_iter_9000.caffemodel", data / "mnist" / "mnist.data"
    if not source.exists() or not digits.exists():
        tap.skip("LeNet", f"no {source} and {digits.name}")
        return
    (scratch / "lenet.onnx").write_bytes(lenet_model(caffe_blobs(source)))
    samples = [struct.unpack("<794f", digits.read_bytes()[i:i + 3176]) for i in range(0, digits.stat().st_size, 3176)]
    most = max(max(s[:784]) for s in samples)
    with (scratch / "digits.y4m").open("wb") as film:
        film.write(b"YUV4MPEG2 W28 H28 F25:1 Ip A1:1 C420jpeg\n")
        for sample in samples:
            film.write(b"FRAME\n" + bytes(round(16 + 219 * v / most) for v in sample[:784]) + bytes([128]) * (2 * 14 * 14))
    wide, narrow = compare("LeNet", scratch / "lenet.onnx", [scratch / "digits.y4m"])
    truth = [max(range(10), key=lambda k: s[784 + k]) for s in samples]
    right = [sum(best(p) == t for p, t in zip(answers, truth)) for answers in (wide, narrow)]
    tap.note(f"of {len(truth)} digits {right[0]} are right in fp32, {right[1]} in bf16")
    tap.result(len(wide) == len(truth) and right[0] > 0.97 * len(truth), "LeNet knows digits")
    tap.result(abs(right[0] - right[1]) <= len(truth) / 1000, "as many are right within 0.1 per cent")


tap = Tap()
probe = subprocess.run([gpudl, "doctor"], capture_output=True, text=True).stdout
if not any(line.split()[:1] == ["cpu"] and ", bf16, " in line for line in probe.splitlines()):
    print("1..0 # SKIP bfloat16 is not this machine's")
    sys.exit(0)
lite0()
with tempfile.TemporaryDirectory() as folder:
    if data is None:
        tap.skip("SqueezeNet 1.1, LeNet", "GPUDL_TEST_DATA names no folder of models")
    else:
        squeezenet(pathlib.Path(folder))
        lenet(pathlib.Path(folder))
tap.finish()
