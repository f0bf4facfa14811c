#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-torchvision.py TF-RUN [NAME ...]

torchvision's networks as PyTorch 2.9 or newer writes them, against its own float64: NAME.pt2 as exported, NAME.core.pt2 after
run_decompositions(), NAME.pt as traced. Weights are random, and those that begin as zeros and norms' statistics are set
so that a comparison means something. Prints the largest difference as a part of the range; above 1e-4, or a refusal,
fails. Takes minutes and is not part of make check; PyTorch of that age is not in Debian: pip install torch torchvision.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision

NAMES = ("resnet18 mobilenet_v2 mobilenet_v3_small squeezenet1_1 shufflenet_v2_x0_5 efficientnet_b0 googlenet densenet121 vgg11 convnext_tiny "
         "regnet_y_400mf alexnet mnasnet0_5 efficientnet_v2_s inception_v3").split()
SIZES = {"inception_v3": 299, "swin_v2_t": 256}


def make(name):
    torch.manual_seed(1)
    extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, **extra).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, .1)
            module.running_var.uniform_(.5, 1.5)
            module.weight.data.uniform_(.75, 1.25)
            module.bias.data.normal_(0, .1)
    for parameter in net.parameters():
        if parameter.numel() > 1 and parameter.std() == 0:
            parameter.data.add_(torch.randn_like(parameter) * .02)
    size = SIZES.get(name, 224)
    return net, torch.randn(1, 3, size, size)


def check(tf_run, name, folder):
    net, x = make(name)
    with torch.no_grad():
        program = torch.export.export(net, (x,))
        torch.export.save(program, folder / "net.pt2")
        torch.export.save(program.run_decompositions(), folder / "net.core.pt2")
        torch.jit.trace(net, x).save(folder / "net.pt")
        want = net.double()(x.double()).numpy().ravel()
    (folder / "x").write_bytes(x.numpy().tobytes())
    good = True
    for kind in ("pt2", "core.pt2", "pt"):
        line = f"{folder}/net.{kind}\t{folder}/y\t{folder}/x\n"
        answer = subprocess.run([tf_run], input=line, capture_output=True, text=True).stdout.strip()
        if not answer.startswith("ok"):
            print(f"{name}.{kind}: {answer[:300]}", flush=True)
            good = False
            continue
        off = max(np.abs(np.fromfile(folder / f"y.{stage}.0", np.float32) - want).max() for stage in ("literal", "rewritten")) / np.ptp(want)
        print(f"{name}.{kind}: {off:.2g}", flush=True)
        good = good and off <= 1e-4
    return good


with tempfile.TemporaryDirectory(prefix="gpudl-torchvision-") as place:
    results = [check(sys.argv[1], name, pathlib.Path(place)) for name in sys.argv[2:] or NAMES]
print(f"{sum(results)} of {len(results)} networks")
sys.exit(not all(results))
