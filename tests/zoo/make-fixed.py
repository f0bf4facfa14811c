#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: make-fixed.py OUT.tar.xz [NAME ...]

Makes tests/zoo/fixed.tar.xz, which check-fixed.py reads: small networks of timm and torchvision as PyTorch exports them,
without their weights, the numbers that fixed.py makes these of, and PyTorch's scores in float64. Runs in the environment of
make check-zoo: build/venv-zoo/bin/python. NAME: those alone, to try.

Weights get values of spread 1 through the network: each convolution's and linear layer's is scaled by what comes out on a
picture, norms' statistics are those of their layer.
"""
import io
import json
import lzma
import math
import os
import pathlib
import sys
import tarfile
import tempfile
import warnings

import numpy as np
import onnx
import timm
import torch
import torchvision
from onnx import numpy_helper

import fixed
import nets

CLASSES = 40
SMALL = 16  # elements: less are stored
MOST_STORED = 20000  # bytes of a network's tensors that no formula makes
MOST_OFF = 2e-5  # of the range: what float32 PyTorch may be off, for a bound of 1e-4 to say something
SIDE = 96
OWN_SIDE = {"test_vit": 160, "test_vit2": 160, "test_vit3": 160, "test_vit4": 160, "test_vit_relpos": 160, "test_maxvit": 160, "test_coatnet": 160,
            "levit_128s": 224, "levit_conv_128s": 224, "xcit_nano_12_p16_224": 224, "pit_ti_224": 224, "visformer_tiny": 224, "tiny_vit_5m_224": 224,
            "edgenext_xx_small": 128, "mobilevit_xxs": 128, "mobilevitv2_050": 128, "coat_lite_tiny": 128, "halonet26t": 128,
            "efficientvit_m0": 224, "efficientformerv2_s0": 224, "crossvit_9_240": 240, "gcvit_xxtiny": 224, "hardcorenas_a": 96,
            "bat_resnext26ts": 256, "eca_halonext26ts": 128, "lambda_resnet26t": 128, "botnet26t_256": 256, "inception_next_atto": 96,
            "nest_tiny": 224, "pvt_v2_b0": 128, "mixer_s32_224": 224, "gmlp_ti16_224": 224, "resmlp_12_224": 224, "fastvit_t8": 128,
            "convmixer_768_32": 96, "poolformerv2_s12": 96}
TORCHSCRIPT = """test_resnet test_efficientnet test_efficientnet_gn test_efficientnet_ln test_efficientnet_evos test_byobnet test_convnext
    test_convnext2 test_convnext3 test_mambaout test_nfnet test_coatnet test_maxvit test_vit test_vit2 test_vit_relpos lcnet_035 tinynet_e
    mobilenetv3_small_050 mobilenetv4_conv_small_035 mobilenetv2_035 mnasnet_small semnasnet_050 ghostnet_050 ghostnetv2_100 ghostnetv3_050
    repghostnet_050 mixnet_s tf_mixnet_s hardcorenas_a fbnetc_100 tf_efficientnet_lite0 resnet10t regnetx_002 regnety_002 rexnet_100
    mobileone_s0 repvgg_a0 fasternet_t0 starnet_s050 repvit_m0_9 edgenext_xx_small mobilevit_xxs mobilevitv2_050 efficientvit_b0 levit_128s
    fastvit_t8 shvit_s1 swiftformer_xs convnext_zepto_rms inception_next_atto ese_vovnet19b_slim_dw dla46x_c hrnet_w18_small cspnext_tiny
    hgnetv2_b0 nf_regnet_b0 xcit_nano_12_p16_224 poolformerv2_s12 skresnet18 tv:shufflenet_v2_x0_5""".split()
# that exporter folds batch norms into other weights, which no formula makes: networks without
DYNAMO = """test_efficientnet_ln test_efficientnet_gn test_convnext test_convnext3 test_mambaout test_vit test_vit3 test_vit4 test_vit_relpos
    convnext_atto convnext_zepto_rms""".split()


def make(name):
    torch.manual_seed(1)
    if name.startswith("tv:"):
        return torchvision.models.get_model(name[3:], weights=None, num_classes=CLASSES).eval()
    return timm.create_model(name, num_classes=CLASSES, exportable=True).eval()


def first_formulas(net):
    """{name: [a, b]} of what is large, by what it is when the network begins."""
    formulas = {}
    for name, x in net.state_dict().items():
        if not x.is_floating_point() or x.numel() < SMALL:
            continue
        start, last = x.flatten()[0].item(), name.rsplit(".", 1)[-1]
        if not (x == x.flatten()[0]).all():
            formulas[name] = [0., math.sqrt(3) * x.std().item()]
        elif any(part in last for part in ("bias", "pos", "token", "table", "beta", "running_mean")):
            formulas[name] = [start, .3]
        else:
            scale = 1. if abs(start) < nets.SMALL else start
            formulas[name] = [scale, .4 * scale]
    return formulas


def settle(net, formulas, shape):
    """Sets weights and statistics as their formulas say, and these so that values keep a spread of 1."""
    state, names = net.state_dict(), {id(x): name for name, x in [*net.named_parameters(), *net.named_buffers()]}

    def put(tensor):
        name = names[id(tensor)]
        formulas[name] = [float(f"{value:.5g}") for value in formulas[name]]  # digits that say nothing would fill the file
        state[name].copy_(torch.from_numpy(fixed.values(name, tuple(tensor.shape), *formulas[name])))

    def spread(module, _, output):
        name = names[id(module.weight)]
        if name not in formulas or not torch.is_tensor(output):
            return None
        factor = 1 / max(output.std().item(), 1e-6)
        formulas[name][1] *= factor
        put(module.weight)
        if module.bias is not None and names[id(module.bias)] in formulas:
            formulas[names[id(module.bias)]] = [0., .2]
            put(module.bias)
        return output * factor

    def statistics(module, inputs):
        name = names[id(module.running_mean)]
        if name not in formulas:
            return
        channels = inputs[0].transpose(0, 1).flatten(1)
        mean, variance = channels.mean().item(), max(channels.var().item(), .01)
        formulas[name] = [mean, .1 * math.sqrt(variance)]
        formulas[names[id(module.running_var)]] = [variance, .3 * variance]
        put(module.running_mean)
        put(module.running_var)

    hooks, seen = [], set()
    with torch.no_grad():
        for name in formulas:
            put(dict([*net.named_parameters(), *net.named_buffers()])[name])
        for module in net.modules():
            if type(module).__name__ in nets.LINEAR and id(module.weight) not in seen:
                seen.add(id(module.weight))
                hooks.append(module.register_forward_hook(spread))
            elif isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)) and module.running_mean is not None:
                hooks.append(module.register_forward_pre_hook(statistics))
        net(torch.from_numpy(fixed.picture((2, *shape[1:]))))
    for hook in hooks:
        hook.remove()


def export(net, x, form, path):
    settings = {"input_names": ["input"], "output_names": ["output"], "opset_version": nets.OPSETS[form]}
    with torch.no_grad():
        if form == "dynamo":
            torch.onnx.export(net, (x,), path, dynamo=True, external_data=False, **settings)
        else:  # constants stay as they are, and norms unfolded
            torch.onnx.export(net, (x,), path, dynamo=False, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE, **settings)


def formula_of(name, x, formulas):
    """The exporter may have transposed a matrix, and given it another name then."""
    for candidate in [name] if name in formulas else formulas:
        for transposed in (False, True) if x.ndim == 2 else (False,):
            y = x.T if transposed else x
            start = fixed.values(candidate, (min(y.size, SMALL),), *formulas[candidate])
            if np.array_equal(y.ravel()[:SMALL], start) and np.array_equal(y, fixed.values(candidate, y.shape, *formulas[candidate])):
                return [candidate, *formulas[candidate], transposed]
    return None


def strip(model, formulas):
    """Takes out the values that a formula makes; {initializer: [name, a, b, transposed]} of these. What else is no part of the
    network goes, too."""
    made, stored = {}, 0
    for tensor in model.graph.initializer:
        x = numpy_helper.to_array(tensor)
        formula = formula_of(tensor.name, x, formulas) if x.dtype == np.float32 and x.size >= SMALL else None
        if formula:
            made[tensor.name] = formula
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
        else:
            stored += x.nbytes
    for part in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    del model.graph.value_info[:]
    return made, stored


def one(name, form):
    side = OWN_SIDE.get(name, SIDE)
    net, shape = make(name), (1, 3, side, side)
    formulas = first_formulas(net)
    settle(net, formulas, shape)
    x = torch.from_numpy(fixed.picture(shape))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        export(net, x, form, path)
        model = onnx.load(path)
    made, stored = strip(model, formulas)
    narrow = nets.scores(net, x)
    other = nets.scores(net, x.flip(3) * .8 + .1)
    wide = nets.scores(net.double(), x.double())
    off, reacts = np.abs(narrow - wide).max() / np.ptp(wide), np.abs(narrow - other).max() / np.ptp(wide)
    print(f"{name} {form}: {len(model.SerializeToString())} bytes, {stored} of them tensors; float32 is off by {off:.1e}, "
          f"another picture changes {reacts:.2g}", flush=True)
    if stored > MOST_STORED or not off <= MOST_OFF or not reacts >= 1e-3:
        raise ValueError("it can't be one of the fixed networks")
    return model, {"form": form, "formulas": made, "picture": shape, "scores": [float(f"{v:.7g}") for v in wide]}


warnings.filterwarnings("ignore")
torch.set_num_threads(1)
out, found, members = pathlib.Path(sys.argv[1]), {}, {}
for name, form in [(n, "torchscript") for n in TORCHSCRIPT] + [(n, "dynamo") for n in DYNAMO]:
    if sys.argv[2:] and name not in sys.argv[2:]:
        continue
    label = f"{name.removeprefix('tv:')}.{form}"
    try:
        model, found[label] = one(name, form)
    except Exception as error:
        print(f"{label}: left out: {type(error).__name__}: {str(error)[:200]}", flush=True)
        continue
    members[f"{label}.onnx"] = model.SerializeToString()
members["nets.json"] = json.dumps(found, separators=(",", ":")).encode()
with lzma.open(out, "wb", preset=9 | lzma.PRESET_EXTREME) as file, tarfile.open(fileobj=file, mode="w") as archive:
    for name, data in sorted(members.items()):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
print(f"{len(found)} networks, {out.stat().st_size} bytes")
