#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-graphdef.py TF-RUN SOURCE BUILD CASES.tar.xz

Every operator of the GraphDef importer's table: a file written here, byte by byte, against values that NumPy computes from
the operator's definition; what has to be refused; and, where GPUDL_TEST_DATA has it, a real network's golden output.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import references

tf_run, source, build, archive = sys.argv[1:5]
try:
    import numpy as np
except ImportError:
    references.enter(build)
    import numpy as np

from graphdeffile import Net, Type

RNG = np.random.default_rng(1)
cases = []


def case(name, net, inputs, expected):
    cases.append((name, net, inputs, expected))


def values(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def padding(size, kernel, stride, dilation):
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def windows(x, kernel, stride, dilation, pads, fill):
    x = np.pad(x, [(0, 0), pads[0], pads[1], (0, 0)], constant_values=fill)
    out = [(x.shape[1 + i] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(2)]
    result = np.empty((x.shape[0], *out, *kernel, x.shape[3]), x.dtype)
    for p in range(out[0]):
        for q in range(out[1]):
            for r in range(kernel[0]):
                for s in range(kernel[1]):
                    result[:, p, q, r, s] = x[:, p * stride[0] + r * dilation[0], q * stride[1] + s * dilation[1]]
    return result


for layout in ("NHWC", "NCHW"):
    for mode in ("SAME", "VALID", "EXPLICIT"):
        for kernel, stride, dilation in (((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 2), (1, 1)), ((3, 3), (1, 1), (2, 2))):
            first = layout == "NCHW"
            turn = (lambda a: a.transpose(0, 3, 1, 2)) if first else (lambda a: a)
            quad = lambda two: [1, 1, *two] if first else [1, *two, 1]
            x, w, d, b = values(1, 7, 6, 4), values(*kernel, 4, 5), values(*kernel, 4, 2), values(5)
            pads = [padding(x.shape[1 + i], kernel[i], stride[i], dilation[i]) for i in range(2)]
            pads = {"SAME": pads, "VALID": [(0, 0), (0, 0)], "EXPLICIT": [(1, 0), (0, 1)]}[mode]
            flat = [p for pair in pads for p in pair]
            fields = {"data_format": layout, "padding": mode, "strides": quad(stride)}
            if mode == "EXPLICIT":
                fields["explicit_paddings"] = [0, 0, 0, 0, *flat] if first else [0, 0, *flat, 0, 0]
            what = f"{layout} {mode} {kernel} stride {stride} dilation {dilation}"
            net = Net()
            y = net.op("Conv2D", net.input(turn(x).shape), net.constant(w), dilations=quad(dilation), **fields)
            net.op("BiasAdd", y, net.constant(b), data_format=layout)
            case(f"Conv2D, BiasAdd {what}", net, [turn(x)], [turn(np.einsum("npqrsc,rsck->npqk", windows(x, kernel, stride, dilation, pads, 0), w) + b)])
            net = Net()
            net.op("DepthwiseConv2dNative", net.input(turn(x).shape), net.constant(d), dilations=quad(dilation), **fields)
            want = np.einsum("npqrsc,rscm->npqcm", windows(x, kernel, stride, dilation, pads, 0), d)
            case(f"DepthwiseConv2dNative {what}", net, [turn(x)], [turn(want.reshape(*want.shape[:3], 8))])
            if dilation == (1, 1):
                for name, fill, function in (("MaxPool", -np.inf, np.max), ("AvgPool", np.nan, np.nanmean)):
                    net = Net()
                    net.op(name, net.input(turn(x).shape), ksize=quad(kernel), **fields)
                    case(f"{name} {what}", net, [turn(x)], [turn(function(windows(x, kernel, stride, dilation, pads, fill), (3, 4)))])
    for version in ("", "V2", "V3"):
        x = values(1, 3, 4, 2)
        scale, offset, mean, variance = values(2), values(2), values(2), values(2, low=0.5)**2
        net = Net()
        net.op("FusedBatchNorm" + version, net.input(turn(x).shape), *(net.constant(v) for v in (scale, offset, mean, variance)),
               data_format=layout, epsilon=0.01, is_training=False)
        case(f"FusedBatchNorm{version} {layout}", net, [turn(x)], [turn((x - mean) / np.sqrt(variance + 0.01) * scale + offset)])

BINARY = {"Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "RealDiv": np.divide, "Maximum": np.maximum,
          "Minimum": np.minimum, "Pow": np.power, "SquaredDifference": lambda a, b: (a - b)**2}
for name, function in BINARY.items():
    net, a, b = Net(), values(1, 2, 3, 4, low=0.5), values(4, low=0.5)
    a, b = np.abs(a) + 0.1, np.abs(b) + 0.1
    net.op(name, net.input(a.shape), net.constant(b))
    case(name, net, [a], [function(a, b)])
x = values(1, 3, 4, 5, low=-8, high=8)
alpha, scale = 1.6732632423543772, 1.0507009873554805
UNARY = {"Abs": np.abs, "Neg": np.negative, "Exp": np.exp, "Square": np.square, "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Tanh": np.tanh,
         "Relu": lambda x: np.maximum(x, 0), "Relu6": lambda x: np.clip(x, 0, 6), "Elu": lambda x: np.where(x > 0, x, np.expm1(x)),
         "Selu": lambda x: scale * np.where(x > 0, x, alpha * np.expm1(x)), "Softplus": lambda x: np.log1p(np.exp(x)),
         "StopGradient": lambda x: x, "Identity": lambda x: x}
for name, function in UNARY.items():
    net = Net()
    net.op("Neg", net.op(name, net.input(x.shape)))
    case(name, net, [x], [-function(x)])
for name, function in {"Sqrt": np.sqrt, "Rsqrt": lambda x: 1 / np.sqrt(x), "Log": np.log}.items():
    net = Net()
    net.op(name, net.input(x.shape))
    case(name, net, [np.abs(x) + 0.1], [function(np.abs(x) + 0.1)])
net = Net()
net.op("LeakyRelu", net.input(x.shape), alpha=0.3)
case("LeakyRelu", net, [x], [np.where(x < 0, 0.3 * x, x)])
net, i, j = Net(), None, None
i = net.input((1, 5))
net.op("AddN", i, i, net.constant(values(1, 5) * 0 + 2))
case("AddN", net, [x[:, 0, 0]], [2 * x[:, 0, 0] + 2])
net = Net()
net.op("Cast", net.op("Cast", net.input((1, 5)), SrcT=Type(1), DstT=Type(3)), SrcT=Type(3), DstT=Type(1))
case("Cast", net, [x[:, 0, 0]], [np.trunc(x[:, 0, 0])])
for name, function in {"Mean": np.mean, "Sum": np.sum, "Max": np.max, "Min": np.min}.items():
    for keep in (False, True):
        net = Net()
        net.op(name, net.input(x.shape), net.constant([1, 2], "int32"), keep_dims=keep)
        case(f"{name} keep {keep}", net, [x], [function(x, (1, 2), keepdims=keep)])
e = np.exp(x - x.max(-1, keepdims=True))
soft = e / e.sum(-1, keepdims=True)
for name, want in (("Softmax", soft), ("LogSoftmax", np.log(soft))):
    net = Net()
    net.op(name, net.input(x.shape))
    case(name, net, [x], [want])
net = Net()
net.op("ArgMax", net.op("Neg", net.input((1, 5))), net.constant(1, "int32"))
case("ArgMax gives the scores", net, [x[:, 0, 0]], [-x[:, 0, 0]])
for ta, tb in ((False, False), (False, True)):
    net, a, b = Net(), values(1, 4), values(4, 3)
    net.op("MatMul", net.input(a.shape), net.constant(b.T if tb else b), transpose_a=ta, transpose_b=tb)
    case(f"MatMul {ta} {tb}", net, [a], [a @ b])
for name in ("BatchMatMul", "BatchMatMulV2"):
    net, a, b = Net(), values(1, 2, 3, 4), values(1, 2, 5, 4)
    net.op(name, net.input(a.shape), net.input(b.shape), adj_y=True)
    case(name, net, [a, b], [a @ b.transpose(0, 1, 3, 2)])
net = Net()
i = net.input(x.shape)
part = net.op("StridedSlice", net.op("Shape", i), *(net.constant(v, "int32") for v in ([0], [1], [1])), shrink_axis_mask=1)
net.op("Reshape", i, net.op("Pack", part, net.constant(-1, "int32"), axis=0))
case("Reshape by Shape, StridedSlice, Pack", net, [x], [x.reshape(1, -1)])
net = Net()
net.op("ExpandDims", net.op("Squeeze", net.input((1, 1, 1, 5)), squeeze_dims=[1, 2]), net.constant(-1, "int32"))
case("Squeeze, ExpandDims", net, [x[:, :1, :1]], [x[:, 0, 0, :, None]])
net = Net()
net.op("Transpose", net.input(x.shape), net.constant([0, 3, 1, 2], "int32"))
case("Transpose", net, [x], [x.transpose(0, 3, 1, 2)])
net = Net()
i = net.op("Split", net.constant(2, "int32"), net.input(x.shape), num_split=2)
net.op("ConcatV2", i + ":1", i, net.constant(2, "int32"))
case("Split, ConcatV2", net, [x], [np.concatenate(np.split(x, 2, 2)[::-1], 2)])
net = Net()
i = net.op("Unpack", net.input(x.shape), num=3, axis=1)
net.op("Pack", i + ":2", i, axis=-1)
case("Unpack, Pack", net, [x], [np.stack([x[:, 2], x[:, 0]], -1)])
net = Net()
net.op("Slice", net.input(x.shape), net.constant([0, 1, 0, 2], "int32"), net.constant([1, 2, -1, 3], "int32"))
case("Slice", net, [x], [x[:, 1:3, :, 2:5]])
pads = [[0, 0], [1, 2], [0, 1], [0, 0]]
net = Net()
net.op("Pad", net.input(x.shape), net.constant(pads, "int32"))
case("Pad", net, [x], [np.pad(x, pads)])
net = Net()
net.op("PadV2", net.input(x.shape), net.constant(pads, "int32"), net.constant(1.5, "float32"))
case("PadV2", net, [x], [np.pad(x, pads, constant_values=1.5)])
net = Net()
net.op("MirrorPad", net.input(x.shape), net.constant(pads, "int32"), mode="REFLECT")
case("MirrorPad", net, [x], [np.pad(x, pads, mode="reflect")])
net = Net()
net.op("Mul", net.input((1, 5)), net.op("PlaceholderWithDefault", net.constant(0.5, "float32")))
case("PlaceholderWithDefault is its default", net, [x[:, 0, 0]], [x[:, 0, 0] / 2])

mean, variance, offset, scale = values(5), values(5, low=0.5)**2, values(5), values(5)
for after in (False, True):
    net = Net()
    net.op("BatchNormWithGlobalNormalization", net.input(x.shape), *(net.constant(v) for v in (mean, variance, offset, scale)),
           variance_epsilon=0.01, scale_after_normalization=after)
    case(f"BatchNormWithGlobalNormalization {after}", net, [x], [(x - mean) / np.sqrt(variance + 0.01) * (scale if after else 1) + offset])
net = Net()
i = net.input(x.shape)
dims = net.op("Range", net.op("Size", i), net.constant(0, "int32"), net.constant(-60, "int32"))
net.op("Mul", net.op("Reshape", i, dims), net.op("Cast", net.op("Rank", i), DstT=Type(1)))
case("Reshape by Range and Size, Rank", net, [x], [x.reshape(60) * 4])
net = Net()
dims = net.op("BroadcastArgs", net.constant([3, 1], "int32"), net.constant([2, 1, 5], "int32"))
net.op("BroadcastTo", net.input((1, 5)), dims)
case("BroadcastArgs", net, [x[:, 0, 0]], [np.broadcast_to(x[:, 0, 0], (2, 3, 5))])

net = Net()
net.op("Conv2DBackpropInput", net.constant([1, 8, 8, 3], "int32"), net.constant(values(2, 2, 2, 5)), net.input((1, 4, 4, 5)), strides=[1, 2, 2, 1], padding="SAME")
case("an output of other channels", net, [], r"\(Conv2DBackpropInput\): an output of rank 4 with 3 channels for weights of 2")
for height, width, padding, expected in ((9, 8, "SAME", "height 4, expected 5"), (8, 10, "VALID", "width 4, expected 5"), (8, 1, "VALID", "width 4, expected 0")):
    net = Net()
    net.op("Conv2DBackpropInput", net.constant([1, height, width, 2], "int32"), net.constant(values(2, 2, 2, 5)), net.input((1, 4, 4, 5)), strides=[1, 2, 2, 1],
           padding=padding)
    case(f"a transposed convolution to {height} x {width}, {padding}", net, [], rf"\(Conv2DBackpropInput\): an input with {expected} by its output's")
net = Net()
net.op("FakeQuantWithMinMaxArgs", net.input((1, 4)), min=1.0, max=2.0)
case("steps without zero", net, [], r"\(FakeQuantWithMinMaxArgs\): 8 bits from 1 to 2, expected")
net = Net()
net.op("Relu", net.op("Foo", net.input((1, 4))))
case("an operator that is not taken", net, [], r"node 'n1' \(Foo\): this operator is not taken")
net = Net()
net.op("Switch", net.input((1, 4)), net.constant(True))
case("dropout", net, [], r"\(Switch\): .*Freeze the graph for inference")
net = Net()
net.op("StatefulPartitionedCall", net.input((1, 4)))
case("a function", net, [], r"\(StatefulPartitionedCall\): a function that is called\. Freeze the graph")
net = Net()
w = values(40, 30)
weights, i = net.constant(w), net.input((1, 40))  # more than a small constant, read by several
net.op("ConcatV2", net.op("Reshape", net.op("Exp", weights), net.constant([1, -1], "int32")),
       net.op("MatMul", net.input((1, 30)), net.op("Transpose", net.op("Identity", weights), net.constant([1, 0], "int32"))),
       net.op("MatMul", i, weights), net.constant(-1, "int32"))
many = [values(1, 30), values(1, 40)]
case("weights that are read in several ways", net, many, [np.concatenate([np.exp(w).reshape(1, -1), many[0] @ w.T, many[1] @ w], 1)])
net = Net()
net.op("MatMul", net.input((1, 4)), net.op("VariableV2"))
case("a variable", net, [], r"\(VariableV2\): .*Freeze the graph")
net = Net()
net.op("FusedBatchNormV3", net.input((1, 2, 2, 2)), *(net.constant(values(2)) for _ in range(4)))
case("training", net, [], r"is_training=False")
net = Net()
net.op("Neg", "n1")
net.op("Relu", "n0")
net.op("Add", "n1", net.input((1, 4)))
case("a loop", net, [], r"a loop, which is not taken")

tap = references.Tap()
missing = set(re.findall(r'^    \{"([A-Za-z0-9]+)"', (pathlib.Path(source) / "models/tf/graphdef-ops.c").read_text(), re.M))
missing |= set(re.findall(r'^    \{"\w+", \{"(\w+)"', (pathlib.Path(source) / "models/tf/tf-ops.c").read_text(), re.M))
missing -= references.operators_of(archive)
with tempfile.TemporaryDirectory(prefix="gpudl-graphdef-") as folder:
    folder = pathlib.Path(folder)
    lines = ""
    for i, (name, net, inputs, expected) in enumerate(cases):
        (folder / f"{i}.pb").write_bytes(net.bytes)
        missing -= net.ops if not isinstance(expected, str) else set()
        paths = [folder / f"{i}.in{k}" for k in range(len(inputs))]
        for path, array in zip(paths, inputs):
            path.write_bytes(np.ascontiguousarray(array).tobytes())
        lines += "\t".join(map(str, (folder / f"{i}.pb", folder / f"{i}.out", *paths))) + "\n"
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=250).stdout.splitlines()
    for i, (name, net, inputs, expected) in enumerate(cases):
        answer = answers[i] if i < len(answers) else "no answer"
        wrong = ""
        if isinstance(expected, str):
            wrong = "" if answer.startswith("error") and re.search(expected, answer) else f"{answer!r}, expected an error with {expected!r}"
        elif answer.split("\t")[1:] != [f"float32 {'x'.join(map(str, want.shape))}" for want in expected]:
            wrong = answer
        for k, want in enumerate(expected if not wrong and not isinstance(expected, str) else []):
            for stage in ("literal", "rewritten"):
                off = np.abs(np.frombuffer((folder / f"{i}.out.{stage}.{k}").read_bytes(), np.float32) - want.ravel()).max()
                if not off <= 2e-5 * max(1, np.abs(want).max()):
                    wrong = f"{stage}, output {k}: off by {off:.3g}"
        tap.result(not wrong, name, wrong)
    tap.result(not missing, "every operator of the table has a case", ", ".join(sorted(missing)))
    data = pathlib.Path(os.environ.get("GPUDL_TEST_DATA", "/nonexistent"))
    if (data / "mnist/mnist.pb").exists():
        records = np.fromfile(data / "mnist/mnist.data", np.float32).reshape(1000, 794)
        lines = ""
        for i in range(1000):
            (folder / f"d{i}.in").write_bytes((records[i, :784] / 255).astype(np.float32).tobytes())
            lines += f"{data}/mnist/mnist.pb\t{folder}/d{i}\t{folder}/d{i}.in\n"
        subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=250)
        got = np.array([np.fromfile(folder / f"d{i}.rewritten.0", np.float32) for i in range(1000)])
        off = np.abs(got - np.fromfile(data / "golden/mnist_pb_prob_mnist1000.f32", np.float32).reshape(1000, 10)).max()
        right = int((got.argmax(1) == records[:, 784:].argmax(1)).sum())
        tap.result(off < 1e-5 and right == 905, "mnist.pb: a thousand digits", f"{right} right, probabilities off by {off:.3g}")
    else:
        tap.skip("mnist.pb: a thousand digits", "GPUDL_TEST_DATA has no mnist/mnist.pb")
tap.finish()
