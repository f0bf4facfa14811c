# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks with random weights that a comparison says something about, and the files that PyTorch writes of them."""
import contextlib
import copy
import functools
import io

import timm
import torch
import torchvision

FORMS = ("torchscript", "dynamo", "pt2")  # ONNX by either exporter of torch.onnx, and torch.export's archive
OPSETS = {"torchscript": 17, "dynamo": 20}
# linear in their weights: scaled by what their output's spread is. Standardised ones take any scale out again
LINEAR = ("Conv2d", "Linear", "Conv2dSame")
FLAT = 1e-4  # of the largest value: what varies less does so by rounding, as behind a norm of one channel
ENCODERS = ("mobilenetv5_300m_enc",)  # they give a map of features
SMALL = .1  # constants a parameter may begin with that would hide what it is multiplied with


class Pooled(torch.nn.Module):
    """An encoder and a mean over the picture behind it: a vector, as classification networks give."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        return self.encoder(x).mean((2, 3))


def make(name):
    """The network in evaluation mode and its input's shape."""
    torch.manual_seed(1)
    if name.startswith("tv:"):
        name = name[3:]
        extra = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        net = torchvision.models.get_model(name, weights=None, **extra)
        side = {"inception_v3": 299, "swin_v2_t": 256}.get(name, 224)
        return net.eval(), (1, 3, side, side)
    net = timm.create_model(name, exportable=True)
    shape = (1, *net.default_cfg["input_size"])
    return (Pooled(net) if name in ENCODERS else net).eval(), shape


@contextlib.contextmanager
def unset():
    """Networks made in it have no weights worth the name, at a fraction of the time."""
    drawn = ("normal_", "uniform_", "erfinv_", "trunc_normal_", "bernoulli_")
    kept = {name: getattr(torch.Tensor, name) for name in drawn if hasattr(torch.Tensor, name)}
    for name in kept:
        setattr(torch.Tensor, name, lambda self, *arguments, **named: self)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(torch.Tensor, name, function)


def fill(net):
    """Values for those: of any, those that importing can do without."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.fill_(.01)
            else:
                parameter.nan_to_num_()


def vary(net, generator):
    """What begins as one constant, as norms' scales, biases, layer scales and positions do, gets values of its own."""
    for name, parameter in net.named_parameters():
        first = parameter.flatten()[:1]
        if not first.numel() or not parameter.is_floating_point() or not (parameter == first).all():
            continue
        value = first.item()
        if any(part in name.rsplit(".", 1)[-1] for part in ("bias", "pos", "token", "table", "beta")):
            parameter.data = value + .2 * torch.randn(parameter.shape, generator=generator)
        elif abs(value) < SMALL:
            parameter.data = .5 + torch.rand(parameter.shape, generator=generator)
        else:
            parameter.data = value * (.7 + .6 * torch.rand(parameter.shape, generator=generator))


def pictures(shape):
    """Two of them, blots on coloured ground with grain: of noise alone all pictures are one behind a global pool."""
    generator = torch.Generator().manual_seed(5)
    blots = torch.nn.functional.interpolate(torch.randn(2, shape[1], 7, 7, generator=generator), size=shape[2:], mode="bilinear")
    ground = torch.randn(2, shape[1], 1, 1, generator=generator)
    return .8 * blots + .5 * ground + .3 * torch.randn(2, *shape[1:], generator=generator)


def spread(module, _, output):
    """A hook: scales the layer so that its output has spread 1, if it has any; what it gives now is scaled alike."""
    if not torch.is_tensor(output) or not torch.isfinite(output).all():
        return None
    deviation = output.std().item()
    if deviation < FLAT * output.abs().max().item():
        return None
    factor = 1 / max(deviation, 1e-6)
    module.weight.data *= factor
    if module.bias is not None:
        module.bias.data *= factor
    return output * factor


def disturb(net, shape):
    """Sets weights and norms' statistics so that values of these pictures neither vanish on their way nor grow, and no two
    channels are alike: otherwise any arithmetic would pass."""
    generator = torch.Generator().manual_seed(3)
    seen, hooks = set(), []

    def settle(module, inputs):
        values = inputs[0].transpose(0, 1).flatten(1)
        if values.shape[0] != module.num_features:
            return
        few = values.shape[1] < 16  # a deviation of few values is no measure
        mean, deviation = values.mean(1), values.std(1).clamp(min=.3 if few else 1e-2)
        module.running_mean.copy_(mean + .1 * deviation * torch.randn(mean.shape, generator=generator))
        module.running_var.copy_(deviation**2 * (.8 + .4 * torch.rand(mean.shape, generator=generator)))

    vary(net, generator)
    for module in net.modules():
        if type(module).__name__ in LINEAR and id(module.weight) not in seen:
            seen.add(id(module.weight))
            hooks.append(module.register_forward_hook(spread))
        elif isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(settle))
    with torch.no_grad():
        net(pictures(shape))
    for hook in hooks:
        hook.remove()


def scores(net, x):
    """The first output as a flat float64 array."""
    with torch.no_grad():
        y = net(x)
    while not torch.is_tensor(y):
        y = y[0]
    return y.double().numpy().ravel()


def twin(name, net):
    """Another of the same weights."""
    try:
        return copy.deepcopy(net)
    except Exception:  # what a module keeps of a computation can't be copied
        other, shape = make(name)
        disturb(other, shape)
        return other


def truth(name, net, x):
    """What the network gives in float64."""
    return scores(twin(name, net).double(), x.double())


@functools.lru_cache(1)
def program(net, x):
    """torch.export's, of which both forms are made that are not TorchScript: it takes as long as either."""
    return torch.export.export(net, (x,))


def export(net, x, form, path):
    """Writes the network as that form; what exporters print is dropped."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        if form == "torchscript":
            torch.onnx.export(net, (x,), str(path), dynamo=False, opset_version=OPSETS[form], input_names=["input"], output_names=["output"])
        elif form == "dynamo":
            torch.onnx.export(program(net, x), f=str(path), dynamo=True, opset_version=OPSETS[form], external_data=False, input_names=["input"],
                              output_names=["output"])
        else:
            torch.export.save(program(net, x), str(path))
