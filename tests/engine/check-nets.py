#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rewrites make of torchvision's nets: as few nodes as one would draw by hand, and the same results.

    check-nets.py NET-NODES

Debian's python3-torchvision builds the nets with random weights (batch norms too: as they are made, mean 0, variance 1,
a folding mistake would hide) and exports them as they are, unfolded. Without it: a skip.
"""
import os
import subprocess
import sys
import tempfile
import warnings

# net (and @ the batch it is exported with): nodes after the rewrites, convolutions with an activation, with a residual.
# Squeeze and excite leaves one GlobalAveragePool and one Mul a block; DenseNet's norms stand before their convolutions
# and cannot be folded.
SHUFFLE = ("Conv:56 Gemm:1 MaxPool:1 GlobalAveragePool:1 Reshape:33 Transpose:16 Concat:16 Slice:26", 37, 0)
EXPECTED = {
    "mobilenet_v2": ("Conv:52 Gemm:1 GlobalAveragePool:1 Reshape:1", 35, 10),
    "mobilenet_v3_small": ("Conv:52 Gemm:2 GlobalAveragePool:10 Mul:9 Reshape:1", 41, 6),
    "efficientnet_b0": ("Conv:81 Gemm:1 GlobalAveragePool:17 Mul:16 Reshape:1", 65, 9),
    "shufflenet_v2_x1_0": SHUFFLE,
    "shufflenet_v2_x1_0@4": SHUFFLE,
    "regnet_y_400mf": ("Conv:85 Gemm:1 GlobalAveragePool:17 Mul:16 Reshape:1", 81, 16),
    "resnet50": ("Conv:53 Gemm:1 MaxPool:1 GlobalAveragePool:1 Reshape:1", 49, 16),
    "googlenet": ("Conv:57 Gemm:1 MaxPool:13 GlobalAveragePool:1 Reshape:1 Concat:9", 57, 0),
    "densenet121": (
        "Conv:120 Gemm:1 MaxPool:1 AveragePool:3 GlobalAveragePool:1 BatchNorm:62 Activation:62 Reshape:1 Concat:58",
        59, 0),
}
TOLERANCE = 1e-5

try:
    import torch
    import torchvision
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: install python3-torchvision")
    sys.exit(0)


def randomise(net):
    """Random norms that keep values in bounds: statistics as the net has them for such input as it will be compared on,
    then a random scale and shift. Only the norms learn: dropped branches would distort what they see."""
    net.eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1
            part.weight.data.uniform_(.7, 1.3)
            part.bias.data.normal_(0, .3)
            part.train()
    with torch.no_grad():
        net(torch.rand(2, 3, 224, 224) * 8 - 4)


def export(name, path):
    torch.manual_seed(1)
    name, _, batch = name.partition("@")
    options = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
    net = getattr(torchvision.models, name)(**options)
    randomise(net)
    torch.onnx.export(net.eval(), torch.randn(int(batch or 1), 3, 224, 224), path, opset_version=13,
                      do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)


def check(name, line):
    _, batch, nodes, acts, residuals, difference = line.split("\t")
    expected = EXPECTED[name]
    found = (nodes, int(acts), int(residuals))
    wrong = []
    if batch != "symbolic":
        wrong.append("the batch is not symbolic")
    if found != expected:
        wrong.append(f"found {found}, expected {expected}")
    if not float(difference) <= TOLERANCE:
        wrong.append(f"results differ by {difference} of the range")
    return wrong


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    failed = 0
    print(f"1..{len(EXPECTED)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(EXPECTED, 1):
            path = os.path.join(folder, name + ".onnx")
            export(name, path)
            run = subprocess.run([sys.argv[1], path], capture_output=True, text=True)
            os.unlink(path)
            wrong = check(name, run.stdout.strip()) if run.returncode == 0 else [run.stderr.strip()]
            for what in wrong:
                print(f"# {name}: {what}")
            print(f"{'not ok' if wrong else 'ok'} {number} {name}", flush=True)
            failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
