#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: export-nets.py FOLDER NAME: torchvision's net NAME as FOLDER/NAME.onnx and FOLDER/NAME.static.onnx.

Opset 13; the first with a free batch, the second with a batch of 1 written into its constants, as most files have. The
weights are random with a fixed seed and then set so that a comparison means something: each convolution and linear layer
is scaled to outputs of spread 1 on a random picture, each batch norm gets statistics near those of its input and random
scale and shift. Otherwise the values would shrink to 1e-8 on their way and any arithmetic would pass.
Runs on the system's Python, which has PyTorch.
"""
import pathlib
import sys

import torch
import torchvision

EXTRA = {"googlenet": {"init_weights": False, "aux_logits": False, "transform_input": True}}


def spread_layer(module, _, output):
    """Scales the layer so that its output has spread 1; what it gives now is scaled alike."""
    factor = 1 / max(output.std().item(), 1e-6)
    module.weight.data *= factor
    if module.bias is not None:
        module.bias.data *= factor
    return output * factor


def set_statistics(module, inputs):
    x = inputs[0].transpose(0, 1).flatten(1)
    mean, deviation = x.mean(1), x.std(1).clamp(min=1e-2)
    n = module.num_features
    module.running_mean.copy_(mean + .1 * deviation * torch.randn(n))
    module.running_var.copy_(deviation**2 * (.8 + .4 * torch.rand(n)))
    module.weight.data = .7 + .6 * torch.rand(n)
    module.bias.data = .2 * torch.randn(n)


def make(name):
    torch.manual_seed(1)
    net = getattr(torchvision.models, name)(weights=None, **EXTRA.get(name, {})).eval()
    hooks = []
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            hooks.append(module.register_forward_hook(spread_layer))
        elif isinstance(module, torch.nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(set_statistics))
    with torch.no_grad():
        net(torch.randn(2, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    return net


folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
net = make(name)
# constants stay as the exporter writes them, for the importer to meet
settings = {"opset_version": 13, "input_names": ["input"], "output_names": ["output"], "do_constant_folding": False,
            "training": torch.onnx.TrainingMode.EVAL}
for suffix, axes in (("", {"input": {0: "N"}, "output": {0: "N"}}), (".static", None)):
    path = folder / f"{name}{suffix}.onnx"
    torch.onnx.export(net, torch.randn(1, 3, 224, 224), str(path) + ".part", dynamic_axes=axes, **settings)
    pathlib.Path(str(path) + ".part").rename(path)
