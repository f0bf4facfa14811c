#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-tflite.py TF-RUN FLATC SCHEMA BUILD CASES.tar.xz

Every operator of the TensorFlow Lite importer's table: a file of one operator, written by flatc, against values that
NumPy computes here from the operator's definition, but for those that TensorFlow wrote (check-tensorflow.py); and what has to be
refused.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import references

tf_run, flatc, schema, build, archive = sys.argv[1:6]
try:
    import numpy as np
except ImportError:
    references.enter(build)
    import numpy as np

RNG = np.random.default_rng(1)
TYPES = {"float32": "FLOAT32", "float16": "FLOAT16", "int32": "INT32", "int64": "INT64", "int8": "INT8", "uint8": "UINT8", "bool": "BOOL"}
SCHEMA = pathlib.Path(schema).read_text()



class Net:
    """A file under construction; tensors are their numbers."""

    def __init__(self):
        self.tensors, self.buffers, self.operators, self.codes, self.inputs = [], [{}], [], [], []

    def tensor(self, shape, dtype="float32", data=None, quantisation=None):
        entry = {"shape": list(shape), "type": TYPES[dtype], "buffer": 0, "name": f"t{len(self.tensors)}"}
        if data is not None:
            entry["buffer"] = len(self.buffers)
            self.buffers.append({"data": list(np.ascontiguousarray(data).tobytes())})
        if quantisation:
            entry["quantization"] = quantisation
        self.tensors.append(entry)
        return len(self.tensors) - 1

    def constant(self, values, dtype=None, quantisation=None):
        values = np.asarray(values, dtype=dtype)
        return self.tensor(values.shape, str(values.dtype), values, quantisation)

    def input(self, shape, dtype="float32", quantisation=None):
        self.inputs.append(self.tensor(shape, dtype, None, quantisation))
        return self.inputs[-1]

    def op(self, name, inputs, n=1, options=None, dtype="float32", quantisation=None, **fields):
        outputs = [self.tensor([1], dtype, None, quantisation) for _ in range(n)]
        entry = {"opcode_index": len(self.codes), "inputs": inputs, "outputs": outputs}
        if options:
            entry |= {"builtin_options_type": options, "builtin_options": fields}
        self.codes.append({"builtin_code": name, "deprecated_builtin_code": 0})
        self.operators.append(entry)
        return outputs[0] if n == 1 else outputs

    def write(self, path, outputs):
        model = {"version": 3, "operator_codes": self.codes, "buffers": self.buffers, "description": "check-tflite.py",
                 "subgraphs": [{"tensors": self.tensors, "inputs": self.inputs, "outputs": outputs, "operators": self.operators}]}
        text = path.with_suffix(".json")
        text.write_text(json.dumps(model))
        subprocess.run([flatc, "-b", "-o", path.parent, schema, text], check=True, capture_output=True)


cases = []  # name, net, outputs, input arrays, expected arrays or a regular expression


def case(name, net, outputs, inputs, expected, tolerance=1e-5):
    cases.append((name, net, outputs if isinstance(outputs, list) else [outputs], inputs, expected, tolerance))


def values(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


# ---- windows ------------------------------------------------------------------------------------------------------------


def padding(size, kernel, stride, dilation, same):
    extent = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + extent - size, 0) if same else 0
    return total // 2, total - total // 2


def windows(x, kernel, stride, dilation, same, fill):
    """N, outputs high, outputs wide, kernel high, kernel wide, channels."""
    pads = [padding(x.shape[1 + i], kernel[i], stride[i], dilation[i], same) for i in range(2)]
    x = np.pad(x, [(0, 0), pads[0], pads[1], (0, 0)], constant_values=fill)
    out = [(x.shape[1 + i] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(2)]
    result = np.empty((x.shape[0], *out, *kernel, x.shape[3]), x.dtype)
    for p in range(out[0]):
        for q in range(out[1]):
            for r in range(kernel[0]):
                for s in range(kernel[1]):
                    result[:, p, q, r, s] = x[:, p * stride[0] + r * dilation[0], q * stride[1] + s * dilation[1]]
    return result


ACTIVATIONS = {"NONE": lambda y: y, "RELU": lambda y: np.maximum(y, 0), "RELU6": lambda y: np.clip(y, 0, 6),
               "RELU_N1_TO_1": lambda y: np.clip(y, -1, 1), "TANH": np.tanh}

for same in (True, False):
    for kernel, stride, dilation, act in (((3, 3), (2, 2), (1, 1), "RELU6"), ((3, 2), (1, 2), (1, 1), "NONE"), ((2, 2), (1, 1), (1, 1), "RELU"),
                                          ((3, 3), (1, 1), (2, 2), "RELU_N1_TO_1"), ((1, 1), (2, 2), (1, 1), "TANH")):
        what = f"{kernel} stride {stride} dilation {dilation} {'SAME' if same else 'VALID'} {act}"
        fields = {"padding": "SAME" if same else "VALID", "stride_h": stride[0], "stride_w": stride[1], "fused_activation_function": act}
        x, w, b = values(1, 7, 6, 4), values(5, *kernel, 4), values(5)
        for groups in (1, 2):
            net = Net()
            wg = w[..., :4 // groups]
            wg = np.concatenate([wg, wg[:1]]) if groups == 2 else wg  # 6 outputs
            bg = np.resize(b, len(wg))
            y = net.op("CONV_2D", [net.input(x.shape), net.constant(wg), net.constant(bg)], options="Conv2DOptions",
                       dilation_h_factor=dilation[0], dilation_w_factor=dilation[1], **fields)
            parts = []
            for g in range(groups):
                each, outs = 4 // groups, len(wg) // groups
                part = windows(x[..., g * each:(g + 1) * each], kernel, stride, dilation, same, 0)
                parts.append(np.einsum("npqrsc,krsc->npqk", part, wg[g * outs:(g + 1) * outs]))
            case(f"CONV_2D {what} groups {groups}", net, y, [x], [ACTIVATIONS[act](np.concatenate(parts, -1) + bg)])
        for multiplier in (1, 3):
            net = Net()
            w = values(1, *kernel, 4 * multiplier)
            y = net.op("DEPTHWISE_CONV_2D", [net.input(x.shape), net.constant(w)], options="DepthwiseConv2DOptions",
                       depth_multiplier=multiplier, dilation_h_factor=dilation[0], dilation_w_factor=dilation[1], **fields)
            wide = np.repeat(windows(x, kernel, stride, dilation, same, 0), multiplier, -1)
            case(f"DEPTHWISE_CONV_2D {what} multiplier {multiplier}", net, y, [x], [ACTIVATIONS[act]((wide * w[0]).sum((3, 4)))])
        if dilation == (1, 1):
            fields |= {"filter_height": kernel[0], "filter_width": kernel[1]}
            net = Net()
            y = net.op("MAX_POOL_2D", [net.input(x.shape)], options="Pool2DOptions", **fields)
            case(f"MAX_POOL_2D {what}", net, y, [x], [ACTIVATIONS[act](windows(x, kernel, stride, dilation, same, -np.inf).max((3, 4)))])
            net = Net()
            y = net.op("AVERAGE_POOL_2D", [net.input(x.shape)], options="Pool2DOptions", **fields)
            mean = np.nanmean(windows(x, kernel, stride, dilation, same, np.nan), (3, 4))
            case(f"AVERAGE_POOL_2D {what}", net, y, [x], [ACTIVATIONS[act](mean)])

# ---- products -----------------------------------------------------------------------------------------------------------

for shape, keep in (((1, 8), False), ((1, 2, 2, 2), False), ((1, 2, 3, 8), True)):
    x, w, b = values(*shape), values(5, 8), values(5)
    net = Net()
    y = net.op("FULLY_CONNECTED", [net.input(shape), net.constant(w), net.constant(b)], options="FullyConnectedOptions",
               fused_activation_function="RELU", keep_num_dims=keep)
    want = np.maximum(x.reshape(-1, 8) @ w.T + b, 0)
    case(f"FULLY_CONNECTED {shape} keep {keep}", net, y, [x], [want.reshape(*shape[:-1], 5) if keep else want])
net = Net()
a, b = values(1, 3, 4), values(1, 5, 4)
case("BATCH_MATMUL adj_y", net, net.op("BATCH_MATMUL", [net.input(a.shape), net.input(b.shape)], options="BatchMatMulOptions", adj_y=True),
     [a, b], [a @ b.transpose(0, 2, 1)])

# ---- element by element -------------------------------------------------------------------------------------------------

BINARY = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide, "MAXIMUM": np.maximum, "MINIMUM": np.minimum,
          "SQUARED_DIFFERENCE": lambda a, b: (a - b)**2, "POW": np.power}
for name, function in BINARY.items():
    for shapes in (((1, 2, 3, 4), (1, 2, 3, 4)), ((1, 2, 3, 4), (4,)), ((1, 1, 1, 4), (1, 2, 3, 4))):
        net = Net()
        a, b = (values(*s, low=0.5, high=2) for s in shapes)
        fused = name in ("ADD", "SUB", "MUL", "DIV")
        y = net.op(name, [net.input(a.shape), net.input(b.shape) if len(b.shape) == 4 else net.constant(b)], options=name.capitalize() + "Options" if fused else None,
                   **({"fused_activation_function": "RELU_N1_TO_1"} if fused else {}))
        want = function(a, b)
        case(f"{name} {shapes}", net, y, [a, b][:1 + (len(b.shape) == 4)], [np.clip(want, -1, 1) if fused else want])

erf = np.vectorize(__import__("math").erf)
UNARY = {"ABS": np.abs, "NEG": np.negative, "EXP": np.exp, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND": np.round, "SQUARE": np.square,
         "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)), "TANH": np.tanh, "RELU": lambda x: np.maximum(x, 0),
         "RELU6": lambda x: np.clip(x, 0, 6), "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1), "RELU_0_TO_1": lambda x: np.clip(x, 0, 1),
         "ELU": lambda x: np.where(x > 0, x, np.expm1(x)), "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6}
for name, function in UNARY.items():
    net = Net()
    x = values(1, 3, 4, 2, low=-8, high=8)
    case(name, net, net.op(name, [net.input(x.shape)]), [x], [function(x)])
for name, function in {"SQRT": np.sqrt, "RSQRT": lambda x: 1 / np.sqrt(x), "LOG": np.log}.items():
    net = Net()
    x = values(1, 3, 4, low=0.1)
    x = np.abs(x) + 0.1
    case(name, net, net.op(name, [net.input(x.shape)]), [x], [function(x)])
x = values(1, 3, 4, 2)
net = Net()
case("LEAKY_RELU", net, net.op("LEAKY_RELU", [net.input(x.shape)], options="LeakyReluOptions", alpha=0.3), [x], [np.where(x < 0, 0.3 * x, x)])
for approximate in (False, True):
    net = Net()
    want = 0.5 * x * (1 + (np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if approximate else erf(x / np.sqrt(2))))
    case(f"GELU {approximate}", net, net.op("GELU", [net.input(x.shape)], options="GeluOptions", approximate=approximate), [x], [want])
net = Net()
slope = values(1, 1, 2)
case("PRELU", net, net.op("PRELU", [net.input(x.shape), net.constant(slope)]), [x], [np.where(x < 0, x * slope, x)])
net = Net()
a, b, c = values(1, 4), values(1, 4), values(1, 4)
case("ADD_N", net, net.op("ADD_N", [net.input(a.shape), net.input(b.shape), net.input(c.shape)], options="AddNOptions"), [a, b, c], [a + b + c])
for name, function in {"GREATER": np.greater, "LESS": np.less}.items():
    net = Net()
    i, j = net.input(a.shape), net.input(b.shape)
    case(f"{name}, SELECT_V2", net, net.op("SELECT_V2", [net.op(name, [i, j], dtype="bool"), i, net.constant(c)]), [a, b],
         [np.where(function(a, b), a, c)])

net = Net()
i = net.input(a.shape)
positive = net.op("LOGICAL_NOT", [net.op("LESS", [i, net.constant(c)], dtype="bool")], dtype="bool")
case("LOGICAL_NOT", net, net.op("SELECT_V2", [positive, i, net.constant(b)]), [a], [np.where(~(a < c), a, b)])

# ---- types --------------------------------------------------------------------------------------------------------------

net = Net()
w = values(4).astype(np.float16)
case("DEQUANTIZE of half weights", net, net.op("ADD", [net.input((1, 4)), net.op("DEQUANTIZE", [net.constant(w)])]), [a],
     [a + w.astype(np.float32)])
net = Net()
case("CAST", net, net.op("CAST", [net.op("CAST", [net.input((1, 4))], options="CastOptions", out_data_type="INT32", dtype="int32")],
                         options="CastOptions", in_data_type="INT32", out_data_type="FLOAT32"), [a * 10], [np.trunc(a * 10)])
for dtype, zero in (("int8", -128), ("uint8", 0), ("int8", 3)):
    # an integer convolution: what its numbers stand for; a zero at the bottom cuts off
    x, stored = values(1, 4, 4, 2), RNG.integers(-127, 128, (3, 2, 2, 2)).astype(np.int8)
    scales, bias = [0.01, 0.02, 0.005], RNG.integers(-900, 900, 3).astype(np.int32)
    net = Net()
    q = {"scale": [0.05], "zero_point": [1]}
    weights = net.constant(stored, quantisation={"scale": scales, "zero_point": [0, 0, 0], "quantized_dimension": 0})
    shift = net.constant(bias, quantisation={"scale": [0.05 * s for s in scales], "zero_point": [0, 0, 0], "quantized_dimension": 0})
    y = net.op("CONV_2D", [net.input(x.shape, "int8", q), weights, shift], dtype=dtype, options="Conv2DOptions", padding="VALID",
               stride_h=1, stride_w=1, quantisation={"scale": [0.01], "zero_point": [zero]})
    y = net.op("DEQUANTIZE", [y])
    s = np.array(scales)
    want = np.einsum("npqrsc,krsc->npqk", windows(x, (2, 2), (1, 1), (1, 1), False, 0), stored * s[:, None, None, None]) + bias * 0.05 * s
    case(f"CONV_2D of {dtype}, zero {zero}", net, y, [x], [want if zero == 3 else np.clip(want, 0, 2.55)])
net = Net()
stored = RNG.integers(0, 256, (5, 8)).astype(np.uint8)
x = values(1, 8)
y = net.op("FULLY_CONNECTED", [net.op("QUANTIZE", [net.input(x.shape)], dtype="uint8", quantisation={"scale": [0.02], "zero_point": [128]}),
                               net.constant(stored, quantisation={"scale": [0.03], "zero_point": [120]})],
           options="FullyConnectedOptions", dtype="uint8", quantisation={"scale": [0.1], "zero_point": [90]})
case("QUANTIZE, FULLY_CONNECTED of uint8", net, y, [x], [x @ (0.03 * (stored.astype(float) - 120)).T])

# ---- along axes ---------------------------------------------------------------------------------------------------------

x = values(1, 3, 4, 5)
for name, function in {"MEAN": np.mean, "SUM": np.sum, "REDUCE_MAX": np.max, "REDUCE_MIN": np.min, "REDUCE_PROD": np.prod}.items():
    for axes, keep in (((1, 2), False), ((-1,), True)):
        net = Net()
        y = net.op(name, [net.input(x.shape), net.constant(axes, "int32")], options="ReducerOptions", keep_dims=keep)
        case(f"{name} {axes} keep {keep}", net, y, [x], [function(x, axes, keepdims=keep)])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


for beta in (1.0, 0.5):
    net = Net()
    case(f"SOFTMAX beta {beta}", net, net.op("SOFTMAX", [net.input(x.shape)], options="SoftmaxOptions", beta=beta), [x], [softmax(beta * x)])
net = Net()
case("LOG_SOFTMAX", net, net.op("LOG_SOFTMAX", [net.input(x.shape)]), [x], [np.log(softmax(x))])
net = Net()
i = net.input((1, 5))
case("ARG_MAX gives the scores", net, net.op("ARG_MAX", [net.op("NEG", [i]), net.constant([-1], "int32")], dtype="int64"), [x[:, 0, 0]],
     [-x[:, 0, 0]])

# ---- data movement ------------------------------------------------------------------------------------------------------

net = Net()
case("RESHAPE", net, net.op("RESHAPE", [net.input(x.shape), net.constant([-1, 20], "int32")]), [x], [x.reshape(-1, 20)])
net = Net()
case("RESHAPE by its options", net, net.op("RESHAPE", [net.input(x.shape)], options="ReshapeOptions", new_shape=[1, 60]), [x], [x.reshape(1, 60)])
net = Net()
i = net.input(x.shape)
part = net.op("STRIDED_SLICE", [net.op("SHAPE", [i], dtype="int32"), *(net.constant(v, "int32") for v in ([0], [1], [1]))],
              options="StridedSliceOptions", shrink_axis_mask=1, dtype="int32")
target = net.op("PACK", [part, net.constant(60, "int32")], options="PackOptions", values_count=2, dtype="int32")
case("RESHAPE by SHAPE, STRIDED_SLICE, PACK", net, net.op("RESHAPE", [i, target]), [x], [x.reshape(1, 60)])
net = Net()
case("SQUEEZE, EXPAND_DIMS", net, net.op("EXPAND_DIMS", [net.op("SQUEEZE", [net.input((1, 1, 1, 5))], options="SqueezeOptions", squeeze_dims=[1, 2]),
                                                        net.constant(-1, "int32")]), [x[:, :1, :1]], [x[:, 0, 0, :, None]])
net = Net()
case("TRANSPOSE", net, net.op("TRANSPOSE", [net.input(x.shape), net.constant([0, 3, 1, 2], "int32")]), [x], [x.transpose(0, 3, 1, 2)])
net = Net()
z = values(1, 3, 4, 2)
case("CONCATENATION", net, net.op("CONCATENATION", [net.input(x.shape), net.input(z.shape)], options="ConcatenationOptions", axis=-1,
                                  fused_activation_function="RELU"), [x, z], [np.maximum(np.concatenate([x, z], -1), 0)])
net = Net()
parts = net.op("SPLIT", [net.constant(2, "int32"), net.input(x.shape)], 2, options="SplitOptions", num_splits=2)
case("SPLIT", net, parts, [x], np.split(x, 2, 2))
net = Net()
parts = net.op("SPLIT_V", [net.input(x.shape), net.constant([1, -1], "int32"), net.constant(-1, "int32")], 2, options="SplitVOptions", num_splits=2)
case("SPLIT_V", net, parts, [x], np.split(x, [1], 3))
net = Net()
parts = net.op("UNPACK", [net.input(x.shape)], 3, options="UnpackOptions", num=3, axis=1)
case("UNPACK, PACK", net, net.op("PACK", [parts[2], parts[0]], options="PackOptions", values_count=2, axis=-1), [x],
     [np.stack([x[:, 2], x[:, 0]], -1)])
net = Net()
case("SLICE", net, net.op("SLICE", [net.input(x.shape), net.constant([0, 1, 0, 2], "int32"), net.constant([1, 2, -1, 3], "int32")]), [x],
     [x[:, 1:3, :, 2:5]])
for name, begin, end, strides, masks, want in (
        ("masks", [0, 1, 0, 0], [0, 0, 0, 5], [1, 1, 2, 2], {"begin_mask": 5, "end_mask": 7}, x[:, 1:, ::2, 0:5:2]),
        ("backwards", [0, -1, 0, 0], [1, -4, 4, 5], [1, -1, 1, 1], {}, x[:, :-4:-1]),
        ("ellipsis", [0, 1], [0, 3], [1, 1], {"ellipsis_mask": 1}, x[..., 1:3]),
        ("new axis", [0, 0, 1], [0, 0, 3], [1, 1, 1], {"new_axis_mask": 2, "begin_mask": 1, "end_mask": 1}, x[:, None, 1:3]),
        ("shrink", [0, -1], [1, 0], [1, 1], {"shrink_axis_mask": 2}, x[:, -1])):
    net = Net()
    y = net.op("STRIDED_SLICE", [net.input(x.shape), *(net.constant(v, "int32") for v in (begin, end, strides))], options="StridedSliceOptions", **masks)
    case(f"STRIDED_SLICE {name}", net, y, [x], [want])
pads = [[0, 0], [1, 2], [0, 1], [0, 0]]
net = Net()
case("PAD", net, net.op("PAD", [net.input(x.shape), net.constant(pads, "int32")]), [x], [np.pad(x, pads)])
net = Net()
case("PADV2", net, net.op("PADV2", [net.input(x.shape), net.constant(pads, "int32"), net.constant(1.5, "float32")]), [x],
     [np.pad(x, pads, constant_values=1.5)])
for mode, by in (("REFLECT", pads), ("SYMMETRIC", [[0, 0], [1, 1], [0, 1], [0, 0]])):
    net = Net()
    case(f"MIRROR_PAD {mode}", net, net.op("MIRROR_PAD", [net.input(x.shape), net.constant(by, "int32")], options="MirrorPadOptions", mode=mode), [x],
         [np.pad(x, by, mode=mode.lower())])
net = Net()
case("GATHER", net, net.op("GATHER", [net.input(x.shape), net.constant([2, 0], "int32")], options="GatherOptions", axis=2), [x], [x[:, :, [2, 0]]])
net = Net()
case("BROADCAST_TO, FILL", net, net.op("ADD", [net.op("BROADCAST_TO", [net.input((1, 5)), net.constant([3, 5], "int32")]),
                                               net.op("FILL", [net.constant([3, 1], "int32"), net.constant(2.5, "float32")])]), [x[:, 0, 0]],
     [np.broadcast_to(x[:, 0, 0], (3, 5)) + 2.5])

net = Net()
y = net.op("RESHAPE", [net.input(x.shape), net.op("RANGE", [net.constant(v, "int32") for v in (20, 0, -17)], dtype="int32")])
case("RANGE", net, y, [x], [x.reshape(20, 3)])
net = Net()
i = net.input(x.shape)
y = net.op("ADD", [i, net.op("CAST", [net.op("RANK", [i], dtype="int32")], options="CastOptions", in_data_type="INT32", out_data_type="FLOAT32")])
case("RANK", net, y, [x], [x + 4])
net = Net()
dims = net.op("BROADCAST_ARGS", [net.constant([3, 1], "int32"), net.constant([2, 1, 5], "int32")], dtype="int32")
case("BROADCAST_ARGS", net, net.op("BROADCAST_TO", [net.input((1, 5)), dims]), [x[:, 0, 0]], [np.broadcast_to(x[:, 0, 0], (2, 3, 5))])
net = Net()
i = net.input(x.shape)
case("ZEROS_LIKE", net, net.op("MAXIMUM", [i, net.op("ZEROS_LIKE", [i])]), [x], [np.maximum(x, 0)])
for a, b in (([7, -7, 7], [2, 2, -2]),):
    net = Net()
    y = net.op("FLOOR_DIV", [net.constant(a, "int32"), net.constant(b, "int32")], dtype="int32")
    y = net.op("CAST", [y], options="CastOptions", in_data_type="INT32", out_data_type="FLOAT32")
    case("FLOOR_DIV of integers", net, net.op("ADD", [net.input((1, 3)), y]), [x[:, 0, 0, :3]], [x[:, 0, 0, :3] + np.floor_divide(a, b)])
for same in (True, False):
    net = Net()
    y = net.op("L2_POOL_2D", [net.input(x.shape)], options="Pool2DOptions", padding="SAME" if same else "VALID", stride_h=2, stride_w=1, filter_height=2,
               filter_width=3, fused_activation_function="RELU6")
    want = np.sqrt(np.nanmean(windows(x, (2, 3), (2, 1), (1, 1), same, np.nan)**2, (3, 4)))
    case(f"L2_POOL_2D {same}", net, y, [x], [np.clip(want, 0, 6)])
net = Net()
w = values(8)
y = net.op("FAKE_QUANT", [net.constant(w)], options="FakeQuantOptions", min=-1.0, max=1.5, num_bits=4, narrow_range=False)
step = 2.5 / 15
case("FAKE_QUANT of weights", net, net.op("ADD", [net.input((1, 8)), y]), [values(1, 8)], None)
cases[-1] = (*cases[-1][:4], [cases[-1][3][0] + np.floor((np.clip(w, -6 * step, 9 * step) + 6 * step) / step + .5) * step - 6 * step], 1e-5)

# ---- refused ------------------------------------------------------------------------------------------------------------

net = Net()
case("an operator that is not taken", net, net.op("LSTM", [net.input((1, 4))]), [], r"node 't1' \(LSTM\): this operator \(code 16\) is not taken")
net = Net()
case("a variable", net, net.op("VAR_HANDLE", [net.input((1, 4))]), [], r"\(VAR_HANDLE\): a variable, .*TFLiteConverter.from_keras_model")
net = Net()
case("a custom operator", net, net.op("CUSTOM", [net.input((1, 4))]), [], r"node 't1' \(.*\): this operator \(code 32\) is not taken")
net = Net()
i = net.input((1, 4, 4, 2))
y = net.op("RESIZE_BILINEAR", [i, net.constant([8, 8], "int32")], options="ResizeBilinearOptions", align_corners=True, half_pixel_centers=True)
case("corners and centres at once", net, y, [], r"\(RESIZE_BILINEAR\): both align_corners and half_pixel_centers")
net = Net()
y = net.op("DEPTH_TO_SPACE", [net.input((1, 4, 4, 6))], options="DepthToSpaceOptions", block_size=2)
case("channels that are no blocks", net, y, [], r"\(DEPTH_TO_SPACE\): 6 channels, expected a multiple of 4")
net = Net()
y = net.op("TRANSPOSE_CONV", [net.constant([1, 8, 8, 3], "int32"), net.constant(values(3, 2, 2, 5)), net.input((1, 4, 4, 2))],
           options="TransposeConvOptions", padding="SAME", stride_h=2, stride_w=2)
case("weights for other channels", net, y, [], r"\(TRANSPOSE_CONV\): 2 channels in 1 groups for weights of 5")
net = Net()
y = net.op("TILE", [net.input((1, 4)), net.constant([1, 5000], "int32")])
case("too many repeats", net, y, [], r"\(TILE\): 5000 repeats, 1 to 1024 are taken")
net = Net()
y = net.op("SPACE_TO_BATCH_ND", [net.input((1, 5, 4, 2)), net.constant([2, 2], "int32"), net.constant([[0, 0], [0, 0]], "int32")])
case("blocks that don't fit", net, y, [], r"\(SPACE_TO_BATCH_ND\): 5 along dimension 1, expected a multiple of 2")
net = Net()
i = net.input((1, 4))
case("weights that are too short", net, net.op("ADD", [i, net.tensor((1, 4), data=np.zeros(3, np.float32))]), [], r"'t1' has 12 bytes, expected")
net = Net()
i = net.input((1, 4))
choice = net.op("CAST", [net.op("ARG_MAX", [i, net.constant([-1], "int32")], dtype="int32")], options="CastOptions", out_data_type="FLOAT32")
case("going on with an index", net, net.op("NEG", [choice]), [], r"node 't4' \(NEG\): .*'t3', a choice of the best scores")
net = Net()
case("an absent input of many", net, net.op("CONCATENATION", [net.input((1, 4)), -1], options="ConcatenationOptions"), [], r"input 1 is absent")
net = Net()
i, j = net.input((1, 4)), net.input((1,), "int32")
case("a shape that is computed", net, net.op("RESHAPE", [i, j]), [], r"\(RESHAPE\): its shape depends on the network's input")

tap = references.Tap()
missing = set(re.findall(r'^    \{"([A-Z0-9_]+)"', pathlib.Path(schema).with_name("tflite-ops.c").read_text(), re.M))
missing |= set(re.findall(r'^    \{"(\w+)", \{', (pathlib.Path(schema).parents[1] / "tf" / "tf-ops.c").read_text(), re.M))
missing -= references.operators_of(archive)
with tempfile.TemporaryDirectory(prefix="gpudl-tflite-") as folder:
    folder = pathlib.Path(folder)
    lines = ""
    for i, (name, net, outputs, inputs, expected, tolerance) in enumerate(cases):
        net.write(folder / f"{i}.tflite", outputs)
        missing -= {code["builtin_code"] for code in net.codes} if not isinstance(expected, str) else set()
        paths = []
        for k, array in enumerate(inputs):
            paths.append(folder / f"{i}.in{k}")
            paths[-1].write_bytes(np.ascontiguousarray(array).tobytes())
        lines += "\t".join(map(str, (folder / f"{i}.tflite", folder / f"{i}.out", *paths))) + "\n"
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=250).stdout.splitlines()
    for i, (name, net, outputs, inputs, expected, tolerance) in enumerate(cases):
        answer = answers[i] if i < len(answers) else "no answer"
        wrong = ""
        if isinstance(expected, str):
            wrong = "" if answer.startswith("error") and re.search(expected, answer) else f"{answer!r}, expected an error with {expected!r}"
        elif not answer.startswith("ok"):
            wrong = answer
        for k, want in enumerate(expected if answer.startswith("ok") and not isinstance(expected, str) else []):
            shape = "x".join(map(str, want.shape))
            if answer.split("\t")[1 + k] != f"float32 {shape}":
                wrong = f"output {k} is {answer.split(chr(9))[1 + k]}, expected float32 {shape}"
                break
            for stage in ("literal", "rewritten"):
                got = np.frombuffer((folder / f"{i}.out.{stage}.{k}").read_bytes(), np.float32)
                off = np.abs(got - want.ravel()).max() if got.size == want.size else np.inf
                if not off <= tolerance * max(1, np.abs(want).max()):
                    wrong = f"{stage}, output {k}: off by {off:.3g}"
        tap.result(not wrong, name, wrong)
    net = Net()
    one = net.input((1, 8, 8, 3))
    net.tensors[one]["shape_signature"] = [-1, 8, 8, 3]
    net.write(folder / "two.tflite", [net.op("MUL", [one, net.input((1,))])])
    answer = subprocess.run([tf_run], input=f"{folder / 'two.tflite'}\t{folder / 'two.out'}\n", capture_output=True, text=True, timeout=60,
                            env=os.environ | {"TF_RUN_SIZE": "8x8"}).stdout
    says = "has 2 inputs, 't0' ?x8x8x3, 't1' 1: expected one, a picture N x H x W x C. Convert it again with the others as constants"
    tap.result(says in answer, "of two inputs both are named", answer)
tap.result(not missing, "every operator of the table has a case", ", ".join(sorted(missing)))
tap.finish()
