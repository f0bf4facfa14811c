#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-caffe.py CAFFE-RUN BUILD --backend BACKEND..

Networks of one Caffe layer each, written here, against what Caffe's layers compute, in float64 numpy; the two files'
forms; what is refused; and, with GPUDL_TEST_DATA, a real LeNet on a thousand digits.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile

import references

parser = argparse.ArgumentParser()
parser.add_argument("caffe_run")
parser.add_argument("build")
parser.add_argument("--backend", action="append", default=[])
options = parser.parse_args()
references.enter(options.build)

import numpy as np

import caffefile as cf

tap = references.Tap()
rng = np.random.default_rng(5)
folder = pathlib.Path(tempfile.mkdtemp(prefix="gpudl-caffe-"))
# hundreds of short processes: the search for leaks crashes now and then where it meets a thread that is just ending.
# models-caffe and hostile-caffe have leaks looked for
ENV = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
CLOSE = 2e-5  # of the largest value: sums of at most some hundred products in float32


def run(text, model, x, backend, with_file=None):
    """Output values and description of frames through the network, or the error's text."""
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    if text is not None:
        (place / "net.prototxt").write_text(text)
    (place / "net.caffemodel").write_bytes(model)
    x.astype("<f4").tofile(place / "in.f32")
    ran = subprocess.run([options.caffe_run, backend, place / "net.caffemodel", with_file or "-", place / "in.f32",
                          place / "out.f32"], capture_output=True, text=True, timeout=120, env=ENV)
    if ran.returncode != 0:
        return None, ran.stderr.strip().replace(str(place) + "/", "")
    return np.fromfile(place / "out.f32", "<f4"), json.loads(ran.stdout)


def compare(name, text, model, x, expected):
    for backend in options.backend:
        found, said = run(text, model, x, backend)
        expected = np.concatenate([np.asarray(e).reshape(len(x), -1) for e in expected], 1).ravel() \
            if isinstance(expected, list) else np.asarray(expected).ravel()
        if found is None:
            tap.result(False, f"{name} on {backend}", said)
            continue
        worst = np.abs(found - expected).max() if found.shape == expected.shape else math.inf
        bound = CLOSE * max(np.abs(expected).max(), 1)
        tap.result(worst <= bound, f"{name} on {backend}", "" if worst <= bound else
                   f"{found.shape} {expected.shape} off by {worst:.3g}, at most {bound:.3g}")


def refused(name, text, model, *words):
    found, said = run(text, model, np.zeros((1, 3, 8, 8)), options.backend[0])
    ok = found is None and "\n" not in said and all(w in said for w in words)
    tap.result(ok, f"refused: {name}", "" if ok else f"expected {words}, found {said}")


HEAD = 'name: "test" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: %d dim: %d } } } '


def one(name, kind, param, reference, blobs=(), size=(8, 9), frames=2, scale=1.0, bottoms=("x",), before=(), tops=("y",),
        form="shape"):
    """A network of one layer behind layers that are `before`: (text, blobs, layer name)."""
    x = rng.standard_normal((frames, 3, *size)) * scale
    text = HEAD % size + " ".join(b[0] for b in before)
    text += f' layer {{ name: "l" type: "{kind}" ' + " ".join(f'bottom: "{b}"' for b in bottoms) + " "
    text += " ".join(f'top: "{t}"' for t in tops) + f" {param} }}"
    layers = [cf.layer(b[2], "any", blobs=[cf.blob(v) for v in b[1]]) for b in before]
    layers.append(cf.layer("l", kind, blobs=[cf.blob(v, form) for v in blobs]))
    compare(name, text, cf.net(layers), x, reference(x))


# ---- references: Caffe's layers, written out ------------------------------------------------------------------------


def conv(x, w, b, pad=(0, 0), stride=(1, 1), dilation=(1, 1), group=1):
    n, c, h, wd = x.shape
    k, cg, r, s = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    p = (h + 2 * pad[0] - (dilation[0] * (r - 1) + 1)) // stride[0] + 1
    q = (wd + 2 * pad[1] - (dilation[1] * (s - 1) + 1)) // stride[1] + 1
    y = np.zeros((n, k, p, q))
    for o in range(k):
        g = o // (k // group)
        for i in range(p):
            for j in range(q):
                part = x[:, g * cg:(g + 1) * cg, i * stride[0]:i * stride[0] + dilation[0] * (r - 1) + 1:dilation[0],
                         j * stride[1]:j * stride[1] + dilation[1] * (s - 1) + 1:dilation[1]]
                y[:, o, i, j] = (part * w[o]).sum((1, 2, 3)) + (b[o] if b is not None else 0)
    return y


def deconv(x, w, b, pad=(0, 0), stride=(1, 1), dilation=(1, 1), group=1):
    """Each element of the input spread over the window that it would have been made of."""
    n, c, h, wd = x.shape
    _, kg, r, s = w.shape
    y = np.zeros((n, kg * group, stride[0] * (h - 1) + dilation[0] * (r - 1) + 1, stride[1] * (wd - 1) + dilation[1] * (s - 1) + 1))
    for i in range(c):
        g = i // (c // group)
        for p in range(h):
            for q in range(wd):
                y[:, g * kg:(g + 1) * kg, p * stride[0]:p * stride[0] + dilation[0] * (r - 1) + 1:dilation[0],
                  q * stride[1]:q * stride[1] + dilation[1] * (s - 1) + 1:dilation[1]] += x[:, i, p, q, None, None, None] * w[i]
    y = y[:, :, pad[0]:y.shape[2] - pad[0], pad[1]:y.shape[3] - pad[1]]
    return y + (column(b) if b is not None else 0)


def pool(x, kind, kernel, stride, pad=(0, 0), ceil=True):
    n, c, h, w = x.shape
    size = []
    for extent, k, s, p in zip((h, w), kernel, stride, pad):
        steps = (extent + 2 * p - k) / s
        o = (math.ceil(steps) if ceil else math.floor(steps)) + 1
        if any(pad) and (o - 1) * s >= extent + p:
            o -= 1
        size.append(o)
    y = np.zeros((n, c, *size))
    for i in range(size[0]):
        for j in range(size[1]):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            bottom, right = min(top + kernel[0], h + pad[0]), min(left + kernel[1], w + pad[1])
            area = (bottom - top) * (right - left)
            part = x[:, :, max(top, 0):min(bottom, h), max(left, 0):min(right, w)]
            y[:, :, i, j] = part.max((2, 3)) if kind == "MAX" else part.sum((2, 3)) / area
    return y


def lrn(x, n, alpha, beta, k):
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        part = x[:, max(0, c - n // 2):c + n // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / n * (part**2).sum(1))**beta
    return y


def lrn_within(x, n, alpha, beta):
    return x * (1 + alpha * pool(x**2, "AVE", (n, n), (1, 1), (n // 2,) * 2))**-beta


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def f(*shape):
    return rng.standard_normal(shape)


def column(v):
    return v.reshape(1, -1, 1, 1)


# ---- layers ---------------------------------------------------------------------------------------------------------

w, b = f(4, 3, 3, 3), f(4)
for form in ("shape", "legacy", "double"):
    one(f"Convolution, values as {form}", "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }", lambda x: conv(x, w, b, (1, 1), (2, 2)), (w, b), form=form)
w2 = f(4, 3, 3, 2)
one("Convolution without bias, height and width apart, dilation", "Convolution",
    "convolution_param { num_output: 4 bias_term: false kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 1 stride_w: 2 dilation: 2 dilation: 1 }",
    lambda x: conv(x, w2, None, (2, 1), (1, 2), (2, 1)), (w2,))
wg = f(6, 1, 3, 3)
for kind in ("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise"):
    group = "group: 3" if kind == "Convolution" else ""
    one(f"{kind} in groups", kind, f"convolution_param {{ num_output: 6 bias_term: false kernel_size: 3 {group} }}",
        lambda x: conv(x, wg, None, group=3), (wg,))
wd, bd = f(3, 4, 3, 3), f(4)
one("Deconvolution", "Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 }", lambda x: deconv(x, wd, bd), (wd, bd))
one("Deconvolution, stride and padding", "Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }",
    lambda x: deconv(x, wd, bd, (1, 1), (2, 2)), (wd, bd))
one("Deconvolution without bias, height and width apart, dilation", "Deconvolution",
    "convolution_param { num_output: 4 bias_term: false kernel_size: 3 pad_h: 0 pad_w: 2 stride_h: 3 stride_w: 1 dilation: 1 dilation: 2 }",
    lambda x: deconv(x, wd, None, (0, 2), (3, 1), (1, 2)), (wd,))
wu = np.ones((3, 1, 4, 4)) * np.outer(*[[.25, .75, .75, .25]] * 2)
one("Deconvolution that doubles, a group for each channel", "Deconvolution",
    "convolution_param { num_output: 3 bias_term: false kernel_size: 4 pad: 1 stride: 2 group: 3 weight_filler { type: 'bilinear' } }",
    lambda x: deconv(x, wu, None, (1, 1), (2, 2), group=3), (wu,))
wg2 = f(3, 2, 2, 3)
one("Deconvolution in groups, more padding than reach, values as legacy", "Deconvolution",
    "convolution_param { num_output: 6 bias_term: false kernel_h: 2 kernel_w: 3 pad: 3 stride: 2 group: 3 }",
    lambda x: deconv(x, wg2, None, (3, 3), (2, 2), group=3), (wg2,), form="legacy")
CONV5 = ('layer { name: "s" type: "Pooling" bottom: "x" top: "s" pooling_param { pool: MAX kernel_size: 3 } }', (), "s")
for param, cut in (("", (slice(0, 6), slice(0, 7))), ("crop_param { axis: 2 offset: 1 }", (slice(1, 7), slice(1, 8))),
                   ("crop_param { axis: -2 offset: 2 offset: 0 }", (slice(2, 8), slice(0, 7)))):
    one(f"Crop {param}", "Crop", param, lambda x: x[(slice(None), slice(None), *cut)], bottoms=("x", "s"), before=(CONV5,))
for kind in ("MAX", "AVE"):
    for kernel, stride, pad, size in (((3, 3), (2, 2), (0, 0), (8, 9)), ((3, 3), (2, 2), (1, 1), (8, 9)), ((2, 3), (2, 2), (1, 0), (7, 8)),
                                      ((3, 2), (3, 2), (1, 1), (7, 7)), ((3, 3), (1, 1), (1, 1), (5, 6))):
        for mode in ("", "round_mode: FLOOR", "ceil_mode: false"):
            one(f"Pooling {kind} {kernel} {stride} {pad} of {size} {mode}", "Pooling",
                f"pooling_param {{ pool: {kind} kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} "
                f"stride_w: {stride[1]} pad_h: {pad[0]} pad_w: {pad[1]} {mode} }}",
                lambda x: pool(x, kind, kernel, stride, pad, mode == ""), size=size)
    one(f"Pooling {kind}, global", "Pooling", f"pooling_param {{ pool: {kind} global_pooling: true }}",
        lambda x: x.max((2, 3)) if kind == "MAX" else x.mean((2, 3)))
one("LRN", "LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }", lambda x: lrn(x, 3, .5, .75, 2))
one("LRN as it is by default", "LRN", "", lambda x: lrn(x, 5, 1, .75, 1))
one("LRN within channels", "LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL }",
    lambda x: lrn_within(x, 3, .5, .75))
wi, bi = f(5, 3 * 8 * 9), f(5)
one("InnerProduct", "InnerProduct", "inner_product_param { num_output: 5 }", lambda x: x.reshape(2, -1) @ wi.T + bi, (wi, bi))
one("InnerProduct, legacy values", "InnerProduct", "inner_product_param { num_output: 5 }", lambda x: x.reshape(2, -1) @ wi.T + bi,
    (wi, bi), form="legacy")
one("InnerProduct, transposed, no bias", "InnerProduct", "inner_product_param { num_output: 5 transpose: true bias_term: false }",
    lambda x: x.reshape(2, -1) @ wi.T, (wi.T.copy(),))
wa = f(4, 9)
one("InnerProduct along the last axis", "InnerProduct", "inner_product_param { num_output: 4 axis: -1 bias_term: false }",
    lambda x: x @ wa.T, (wa,))
mean, var = f(3), rng.random(3) + .5
one("BatchNorm with its factor", "BatchNorm", "batch_norm_param { eps: 0.01 }",
    lambda x: (x - column(mean)) / np.sqrt(column(var) + .01), (mean * 8, var * 8, np.array([8.])))
one("BatchNorm with factor 0", "BatchNorm", "", lambda x: x / np.sqrt(1e-5), (mean, var, np.array([0.])), scale=.01)
sc, sb = f(3), f(3)
one("Scale with bias", "Scale", "scale_param { bias_term: true }", lambda x: x * column(sc) + column(sb), (sc, sb))
s2 = f(8, 9)
one("Scale along two axes", "Scale", "scale_param { axis: 2 num_axes: 2 }", lambda x: x * s2, (s2,))
one("Scale by one number", "Scale", "scale_param { num_axes: 0 }", lambda x: x * 3, (np.array(3.),))
one("Bias", "Bias", "", lambda x: x + column(sb), (sb,))
GAP = ('layer { name: "g" type: "Pooling" bottom: "x" top: "g" pooling_param { pool: AVE global_pooling: true } }', (), "g")
FLAT = ('layer { name: "f" type: "Flatten" bottom: "g" top: "f" }', (), "f")
one("Scale by another layer's values", "Scale", "scale_param { axis: 0 }", lambda x: x * x.mean((2, 3), keepdims=True), bottoms=("x", "f"),
    before=(GAP, FLAT))
one("Axpy", "Axpy", "", lambda x: x * x.mean((2, 3), keepdims=True) + x, bottoms=("g", "x", "x"), before=(GAP,))
for kind, param, reference in (
        ("ReLU", "", lambda x: np.maximum(x, 0)), ("ReLU", "relu_param { negative_slope: 0.1 }", lambda x: np.where(x < 0, .1 * x, x)),
        ("ReLU6", "", lambda x: np.clip(x, 0, 6)), ("Clip", "clip_param { min: -0.5 max: 1 }", lambda x: np.clip(x, -.5, 1)),
        ("ELU", "elu_param { alpha: 0.5 }", lambda x: np.where(x < 0, .5 * np.expm1(x), x)), ("Sigmoid", "", lambda x: 1 / (1 + np.exp(-x))),
        ("TanH", "", np.tanh), ("AbsVal", "", np.abs), ("BNLL", "", lambda x: np.log1p(np.exp(x))),
        ("Power", "power_param { power: 2 scale: 0.5 shift: 3 }", lambda x: (3 + .5 * x)**2), ("Power", "power_param { scale: -2 }", lambda x: -2 * x),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", lambda x: 2**(1 + .5 * x)), ("Exp", "", np.exp),
        ("Log", "log_param { base: 10 scale: 0.1 shift: 9 }", lambda x: np.log10(9 + .1 * x)),
        ("Swish", "swish_param { beta: 2 }", lambda x: x / (1 + np.exp(-2 * x))), ("Dropout", "dropout_param { dropout_ratio: 0.5 }", lambda x: x),
        ("Softmax", "", softmax), ("Softmax", "softmax_param { axis: -1 }", lambda x: softmax(x, 3)),
        ("Flatten", "", lambda x: x), ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 4 } }", lambda x: x),
        ("Reshape", "reshape_param { shape { dim: 4 dim: -1 } axis: 2 num_axes: 2 }", lambda x: x),
        ("Permute", "permute_param { order: 0 order: 2 order: 3 }", lambda x: x.transpose(0, 2, 3, 1)),
        ("ShuffleChannel", "shuffle_channel_param { group: 3 }", lambda x: x),
        ("MVN", "", lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.std((2, 3), keepdims=True) + 1e-9)),
        ("MVN", "mvn_param { across_channels: true normalize_variance: false }", lambda x: x - x.mean((1, 2, 3), keepdims=True)),
        ("Reduction", "reduction_param { operation: ASUM axis: 2 coeff: 0.5 }", lambda x: .5 * np.abs(x).sum((2, 3))),
        ("Reduction", "reduction_param { operation: SUMSQ axis: 1 }", lambda x: (x**2).sum((1, 2, 3))),
        ("Reduction", "reduction_param { operation: MEAN axis: 2 }", lambda x: x.mean((2, 3)))):
    one(f"{kind} {param}", kind, param, reference)
one("BNLL of large values", "BNLL", "", lambda x: np.logaddexp(0, x), scale=200)
slope = f(3)
one("PReLU", "PReLU", "", lambda x: np.where(x < 0, column(slope) * x, x), (slope,))
one("PReLU of all channels", "PReLU", "prelu_param { channel_shared: true }", lambda x: np.where(x < 0, .3 * x, x), (np.array([.3]),))
one("Normalize", "Normalize", "norm_param { across_spatial: false channel_shared: false }",
    lambda x: x / np.sqrt((x**2).sum(1, keepdims=True) + 1e-10) * column(sc), (sc,))
one("Normalize over all", "Normalize", "", lambda x: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True) + 1e-10) * 2, (np.array([2.]),))
SQUARE = ('layer { name: "s" type: "Power" bottom: "x" top: "s" power_param { power: 2 } }', (), "s")
for param, reference in (("", lambda x: x + x**2), ("eltwise_param { coeff: 1 coeff: -2 }", lambda x: x - 2 * x**2),
                         ("eltwise_param { operation: PROD }", lambda x: x**3), ("eltwise_param { operation: MAX }", lambda x: np.maximum(x, x**2))):
    one(f"Eltwise {param}", "Eltwise", param, reference, bottoms=("x", "s"), before=(SQUARE,))
for param, axis in (("", 1), ("concat_param { axis: -1 }", 3), ("concat_param { concat_dim: 2 }", 2)):
    one(f"Concat {param}", "Concat", param, lambda x: np.concatenate([x, x**2], axis), bottoms=("x", "s"), before=(SQUARE,))
one("Slice in equal parts", "Slice", "", lambda x: [x[:, :1], x[:, 1:2], x[:, 2:]], tops=("a", "b", "c"))
one("Slice at points", "Slice", "slice_param { axis: 2 slice_point: 1 slice_point: 5 }", lambda x: [x[:, :, :1], x[:, :, 1:5], x[:, :, 5:]],
    tops=("a", "b", "c"))
one("Split", "Split", "", lambda x: [x, x], tops=("a", "b"))
one("in place", "ReLU", "", lambda x: np.maximum(x**2 * 1 - 1, 0), bottoms=("s",), tops=("s",),
    before=(('layer { name: "s" type: "Power" bottom: "x" top: "s" power_param { power: 2 } } '
             'layer { name: "m" type: "Power" bottom: "s" top: "s" power_param { shift: -1 } }', (), "s"),))

# ---- forms of the files ---------------------------------------------------------------------------------------------

x = f(2, 3, 8, 9)
model = cf.net([cf.layer("c", "Convolution", blobs=[cf.blob(w), cf.blob(b)])])
CONV = 'name: "c" %s bottom: "x" top: "y" convolution_param { num_output: 4 kernel_size: 3 }'
for name, text in (
        ("input_dim", 'input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9 layer { ' + CONV % 'type: "Convolution"' + "}"),
        ("input_dim as a list", 'input: "x" input_dim: [2, 3, 8, 9] layer { ' + CONV % 'type: "Convolution"' + "}"),
        ("input_shape", 'input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 9 } layer { ' + CONV % 'type: "Convolution"' + "}"),
        ("the older form", 'input: "x" input_shape < dim: 1; dim: 3, dim: 0x8 dim: 011 > layers { ' + CONV % "type: CONVOLUTION" + "} # end"),
        ("layers of both phases", HEAD % (8, 9) + "layer {" + CONV % 'type: "Convolution"' + "} "
         'layer { name: "d" type: "Foo" bottom: "y" top: "z" include { phase: TRAIN } foo_param { bar: 1 } }'
         'layer { name: "e" type: "Foo" bottom: "y" top: "z" exclude { phase: 1 } }'
         'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" loss_param { more: [1, 2] } }')):
    compare(name, text, model, x, conv(x, w, b))
header = cf.number(4, 1) + cf.number(4, 3) + cf.number(4, 8) + cf.number(4, 9)
compare("V1 layers without a text", None, cf.net(
    [cf.layer_v1("c", 4, ["x"], ["y"], [cf.blob(w, "legacy"), cf.blob(b, "legacy")],
                 cf.data(10, cf.number(1, 4) + cf.number(4, 3)))], v1=True, more=cf.data(3, "x") + header), x, conv(x, w, b))

DATA = ('layer { name: "d" type: "Data" top: "x" top: "label" include { phase: %s } transform_param { %s } '
        'data_param { source: "a" batch_size: 4 } } layer {' + CONV % 'type: "Convolution"' + '} '
        'layer { name: "aux" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "l" loss_weight: 0.3 }')
found, said = run(DATA % ("TEST", "scale: 0.5 mean_value: 104 mean_value: 117 mean_value: 123 crop_size: 8 mirror: false"), model,
                  f(1, 3, 8, 8), options.backend[0])
pixels = said["preprocessing"] if found is not None else {}
tap.result(found is not None and pixels["assumed"].startswith("BGR (channel-order), the whole ") and pixels["pixel_scale"] == 1 and
           pixels["mean"] == [104, 117, 123] and pixels["std"] == [2, 2, 2] and pixels["width"] == 8,
           "a data layer's transformation is taken", str(said if found is None else pixels))
trained = cf.net([cf.layer("d", "Data", (), ["x", "label"], more=cf.data(100, cf.single(5, 10.) + cf.single(1, .25))),
                  cf.layer("c", "Convolution", blobs=[cf.blob(w), cf.blob(b)])])
found, said = run(HEAD % (8, 9) + "layer {" + CONV % 'type: "Convolution"' + "}", trained, x, options.backend[0])
pixels = said["preprocessing"] if found is not None else {}
tap.result(found is not None and "values" not in pixels["assumed"] and pixels["mean"] == [10, 10, 10] and pixels["std"] == [4, 4, 4],
           "the transformation of the network that was trained counts", str(said if found is None else pixels))
found, said = run(HEAD % (8, 9) + "layer {" + CONV % 'type: "Convolution"' + "}", model, x, options.backend[0])
pixels = said["preprocessing"] if found is not None else {}
tap.result(found is not None and not pixels["known"] and pixels["channel_order"] == "bgr" and pixels["pixel_scale"] == 1,
           "BGR within 0 and 255 where nothing is said", str(said if found is None else pixels))

# ---- refusals -------------------------------------------------------------------------------------------------------

LAYER = HEAD % (8, 8) + 'layer {\n name: "c" type: "%s" bottom: "x" top: "y" %s }'
GOOD = "convolution_param { num_output: 4 kernel_size: 3 }"
refused("an unknown parameter", LAYER % ("Convolution", "\n convolution_param { num_output: 4 kernel: 3 }"), model, "net.prototxt:3:36",
        "'kernel'", "ConvolutionParameter", "'c'")
refused("an unknown layer", LAYER % ("PSROIPooling", ""), model, "'c'", "PSROIPooling", "not taken")
refused("Deconvolution with a convolution's values", LAYER % ("Deconvolution", GOOD), model, "'c' (Deconvolution)", "weights are 4x3x3x3, expected 3x4x3x3")
refused("Deconvolution in groups that don't divide", LAYER % ("Deconvolution", GOOD[:-1] + "group: 2 }"), model, "3 channels in", "2 groups")
refused("padding that leaves nothing", LAYER % ("Deconvolution", GOOD[:-1] + "pad: 5 }"), cf.net([cf.layer("c", "any", blobs=[cf.blob(wd), cf.blob(bd)])]),
        "'c' (Deconvolution)")
refused("a crop of more than there is", LAYER % ("Split", "") + 'layer { name: "d" type: "Crop" bottom: "x" bottom: "y" top: "z" crop_param { offset: 1 } }',
        model, "'d' (Crop)", "8 elements from 1 on along axis 2")
refused("values of another shape", LAYER % ("Convolution", GOOD.replace("4", "5")), model, "weights are 4x3x3x3, expected 5x3x3x3")
refused("values of another network", LAYER.replace('"c"', '"q"') % ("Convolution", GOOD), model, "'q'", "no values")
refused("too few arrays", LAYER % ("BatchNorm", ""), model, "2 arrays of values, expected 3")
refused("training's BatchNorm", LAYER % ("BatchNorm", "batch_norm_param { use_global_stats: false }"), model, "use_global_stats")
refused("an unknown bottom", LAYER.replace('"x" top: "y"', '"z" top: "y"') % ("ReLU", ""), model, "input")
refused("two inputs", HEAD % (8, 8) + HEAD.replace('"x"', '"x2"').replace('name: "test"', "") % (8, 8) +
        'layer { name: "c" type: "Eltwise" bottom: "x" bottom: "x2" top: "y" }', model, "has 2 inputs, 'x' 1x3x8x8, 'x2' 1x3x8x8: expected one")
refused("no size", DATA % ("TEST", "scale: 1"), model, "--input-size")
refused("a mean file that is not there", DATA % ("TEST", 'crop_size: 8 mean_file: "data/mean.binaryproto"'), model,
        "data/mean.binaryproto", "--mean")
refused("a text that ends early", LAYER % ("Convolution", GOOD[:-3]), model, "net.prototxt:", "expected")
refused("even LRN", LAYER % ("LRN", "lrn_param { local_size: 4 }"), model, "local_size is 4")
refused("a last window behind the input", LAYER % ("Pooling", "pooling_param { kernel_size: 1 stride: 3 }"), model, "last window")

# ---- a real network -------------------------------------------------------------------------------------------------

root = os.environ.get("GPUDL_TEST_DATA")
mnist = pathlib.Path(root or "/nonexistent") / "mnist"
if not (mnist / "lenet_iter_9000.caffemodel").exists():
    tap.skip("LeNet on a thousand digits", "GPUDL_TEST_DATA names no folder with mnist/lenet_iter_9000.caffemodel")
else:
    records = np.fromfile(mnist / "mnist.data", "<f4").reshape(1000, 794)
    golden = np.fromfile(mnist.parent / "golden" / "lenet_prob_mnist1000.f32", "<f4").reshape(1000, 10)
    (records[:, :784] / np.float32(255)).tofile(folder / "digits.f32")
    for backend in options.backend:
        for with_file in ("-", mnist / "lenet_deploy.prototxt"):
            alone = folder / "lenet.caffemodel"
            alone.write_bytes((mnist / "lenet_iter_9000.caffemodel").read_bytes())
            ran = subprocess.run([options.caffe_run, backend, alone, with_file, folder / "digits.f32", folder / "out.f32"],
                                 capture_output=True, text=True, timeout=600, env=ENV)
            name = f"LeNet {'alone' if with_file == '-' else 'with its text'} on {backend}"
            if ran.returncode != 0:
                tap.result(False, name, ran.stderr)
                continue
            found = np.fromfile(folder / "out.f32", "<f4").reshape(1000, 10)
            right = int((found.argmax(1) == records[:, 784:].argmax(1)).sum())
            worst = float(np.abs(found - golden).max())
            tap.result(right == 997 and worst <= 1e-5, name, f"{right} of 1000, probabilities within {worst:.2g}")

import shutil

shutil.rmtree(folder)
tap.finish()
