# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's and timm's networks with weights that any process makes alike: a fixed seed, batch norms and biases set
so that values keep their size on the way. `gpunets.py NAME FILE` writes one as ONNX with a free batch."""
import inspect
import sys

SIDE = 224
EXTRA = {"googlenet": {"init_weights": False, "aux_logits": False}}
TIMM = {"efficientnet_lite0": "tf_efficientnet_lite0"}
OTHER_NAMES = {"shufflenet_v2": "shufflenet_v2_x1_0"}


def spread(module, _, output):
    import torch
    factor = 1 / max(output.std().item(), 1e-6)
    module.weight.data *= factor
    if module.bias is not None:
        module.bias.data *= factor
    return output * factor


def statistics(module, inputs):
    import torch
    x = inputs[0].transpose(0, 1).flatten(1)
    mean, deviation = x.mean(1), x.std(1).clamp(min=1e-2)
    n = module.num_features
    module.running_mean.copy_(mean + .1 * deviation * torch.randn(n))
    module.running_var.copy_(deviation**2 * (.8 + .4 * torch.rand(n)))
    module.weight.data = .7 + .6 * torch.rand(n)
    module.bias.data = .2 * torch.randn(n)


def make(name):
    """The network in float32 on the CPU."""
    import torch
    torch.manual_seed(1)
    if name in TIMM:
        import timm
        net = timm.create_model(TIMM[name], pretrained=False).eval()
    else:
        import torchvision
        net = getattr(torchvision.models, OTHER_NAMES.get(name, name))(weights=None, **EXTRA.get(name, {})).eval()
    hooks = []
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            hooks.append(module.register_forward_hook(spread))
        elif isinstance(module, torch.nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(statistics))
    with torch.no_grad():
        net(torch.randn(1, 3, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    return net


def export(name, path):
    import torch
    settings = {"opset_version": 13, "input_names": ["input"], "output_names": ["output"],
                "dynamic_axes": {"input": {0: "N"}, "output": {0: "N"}}}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        settings["dynamo"] = False  # the exporter that needs nothing else
    torch.onnx.export(make(name), torch.randn(1, 3, SIDE, SIDE), path, **settings)


if __name__ == "__main__":
    export(*sys.argv[1:])
