#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: export-nets.py CACHE NAME: torchvision's net NAME as ONNX files in CACHE/NAME.

NAME.onnx has a free batch, its batch norms folded by the exporter. NAME.static.onnx has a batch of 1 written into its
constants, as most files have, and its batch norms as they are. NAME.batch4.onnx, for nets in BATCH4, is that with 4.
Opset 13. What is there already is kept; it is made anew when this script has changed.

The weights are random with a fixed seed and then set so that a comparison means something: each convolution and linear
layer is scaled to outputs of spread 1 on a random picture, each batch norm gets statistics near those of its input and
random scale and shift. Otherwise the values would shrink to 1e-8 on their way and any arithmetic would pass.
Runs on the system's Python, which has PyTorch.
"""
import hashlib
import pathlib
import sys

cache, name = pathlib.Path(sys.argv[1]), sys.argv[2]
folder = cache / name
stamp = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
if (folder / "stamp").exists() and (folder / "stamp").read_text() == stamp:
    sys.exit(0)

import torch
import torchvision

BATCH4 = {"shufflenet_v2_x1_0"}
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


net = make(name)
folder.mkdir(parents=True, exist_ok=True)
(folder / "stamp").unlink(missing_ok=True)
# constants stay as the exporter writes them, for the importer to meet
settings = {"opset_version": 13, "input_names": ["input"], "output_names": ["output"], "do_constant_folding": False}
kinds = [("", 1, {"input": {0: "N"}, "output": {0: "N"}}, torch.onnx.TrainingMode.EVAL),
         (".static", 1, None, torch.onnx.TrainingMode.PRESERVE)]
if name in BATCH4:
    kinds.append((".batch4", 4, None, torch.onnx.TrainingMode.PRESERVE))
for suffix, batch, axes, mode in kinds:
    torch.onnx.export(net, torch.randn(batch, 3, 224, 224), str(folder / f"{name}{suffix}.onnx"), dynamic_axes=axes,
                      training=mode, **settings)
(folder / "stamp").write_text(stamp)
