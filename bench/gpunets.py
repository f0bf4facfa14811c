# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's networks, and EfficientNet-Lite0, with weights that any process makes alike: a fixed seed, batch norms and
biases set so that values keep their size on the way. `gpunets.py NAME FILE` writes one as ONNX with a free batch."""
import inspect
import sys

SIDE = 224
EXTRA = {"googlenet": {"init_weights": False, "aux_logits": False}}
# window, stride, channels, times of EfficientNet-Lite0's blocks behind the first, which all expand 6 times
LITE0 = [(3, 2, 24, 2), (5, 2, 40, 2), (3, 2, 80, 3), (5, 1, 112, 3), (5, 2, 192, 4), (3, 1, 320, 1)]
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


def lite0():
    """EfficientNet-Lite0, which torchvision has not: B0 without squeeze-and-excite, relu6 for swish, stem and head as they
    are in B0. Padding as PyTorch's networks have it, the same on both sides."""
    from torch import nn

    def layer(c, k, window=1, stride=1, groups=1, act=True):
        parts = [nn.Conv2d(c, k, window, stride, window // 2, groups=groups, bias=False), nn.BatchNorm2d(k)]
        return nn.Sequential(*parts, *([nn.ReLU6(True)] if act else []))

    class Block(nn.Module):
        def __init__(self, c, k, window, stride, expand):
            super().__init__()
            hidden = c * expand
            first = [layer(c, hidden)] if expand > 1 else []
            self.steps = nn.Sequential(*first, layer(hidden, hidden, window, stride, hidden), layer(hidden, k, act=False))
            self.adds = stride == 1 and c == k

        def forward(self, x):
            return x + self.steps(x) if self.adds else self.steps(x)

    parts, c = [layer(3, 32, 3, 2), Block(32, 16, 3, 1, 1)], 16
    for window, stride, k, times in LITE0:
        for i in range(times):
            parts.append(Block(c, k, window, stride if i == 0 else 1, 6))
            c = k
    return nn.Sequential(*parts, layer(c, 1280), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def make(name):
    """The network in float32 on the CPU."""
    import torch
    torch.manual_seed(1)
    if name == "efficientnet_lite0":
        net = lite0().eval()
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
