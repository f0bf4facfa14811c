#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: generate.py

Writes cases.tar.xz beside itself: small networks as TensorFlow 2.21 freezes them (GraphDef) and as its converter writes them
(TensorFlow Lite: float, half weights, and int8 and int16 by representative inputs), with inputs and what TensorFlow and its interpreter compute;
and operators.pb and operators.tflite in ../../fuzz/seeds, one network of many operators.
Needs tensorflow (pip install tensorflow-cpu); ../check-tensorflow.py, which reads them, does not.
"""
import io
import json
import os
import pathlib
import sys
import tarfile

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

R = tf.raw_ops
RNG = np.random.default_rng(7)
GRAPHDEF, LITE, INT8, INT16, HALF = "graphdef", "tflite", "int8", "int16", "half"
ALL, FLOAT = (GRAPHDEF, LITE, INT8), (GRAPHDEF, LITE)
cases = []  # name, function, shapes of the inputs, kinds, range, what computes the same where the processor does not


def case(name, function, *shapes, kinds=FLOAT, low=-2.0, high=2.0, truth=None):
    cases.append((name, function, shapes or ((1, 5, 6, 4),), kinds, low, high, truth))


def weights(*shape):
    return RNG.uniform(-.5, .5, shape).astype(np.float32)


# ---- pictures -----------------------------------------------------------------------------------------------------------

for size in ((9, 4), (10, 12), (2, 3), (1, 1), (5, 13)):
    for align, half in ((False, False), (True, False), (False, True)):
        what = f"{size[0]}x{size[1]}{' align_corners' * align}{' half_pixel_centers' * half}"
        for name, op in (("bilinear", R.ResizeBilinear), ("nearest", R.ResizeNearestNeighbor)):
            case(f"resize {name} to {what}", lambda x, op=op, size=size, align=align, half=half:
                 op(images=x, size=size, align_corners=align, half_pixel_centers=half), kinds=ALL if size == (9, 4) else FLOAT)
for kernel, stride, padding, size in (((3, 3), 2, "SAME", (10, 12)), ((3, 3), 2, "SAME", (9, 11)), ((2, 2), 2, "VALID", (10, 12)),
                                      ((4, 3), 2, "VALID", (12, 13)), ((3, 2), 1, "SAME", (5, 6)), ((1, 1), 3, "VALID", (15, 17))):
    w, b = weights(*kernel, 3, 4), weights(3)
    case(f"transposed convolution {kernel} stride {stride} {padding} to {size}", lambda x, w=w, b=b, stride=stride, padding=padding, size=size:
         tf.nn.relu(tf.nn.conv2d_transpose(x, w, (1, *size, 3), stride, padding) + b), kinds=ALL)
wt = weights(3, 3, 2, 4)
case("transposed convolution without bias", lambda x: tf.nn.conv2d_transpose(x, wt, (1, 10, 12, 2), 2, "SAME"))
for block in (1, 2, 3):
    case(f"space to depth {block}", lambda x, b=block: -tf.nn.space_to_depth(x, b) if b > 1 else -x, (1, 6, 12, 2), kinds=ALL)
    case(f"depth to space {block}", lambda x, b=block: -tf.nn.depth_to_space(x, b) if b > 1 else -x, (1, 2, 3, 36), kinds=ALL)
for block in (2, 3):
    for name, op in (("space to depth", tf.nn.space_to_depth), ("depth to space", tf.nn.depth_to_space)):
        case(f"{name} {block} of channels first", lambda x, b=block, op=op: op(-x, b, data_format="NCHW"), (1, 9, 3, 6) if block == 3 else (1, 8, 4, 6),
             kinds=(GRAPHDEF,), truth=lambda x, b=block, op=op: tf.transpose(op(tf.transpose(-x, [0, 2, 3, 1]), b), [0, 3, 1, 2]))
case("space to batch and back", lambda x: R.BatchToSpaceND(
    input=tf.nn.relu(R.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[1, 0], [2, 1]])), block_shape=[2, 3], crops=[[1, 0], [0, 2]]))
wd = weights(3, 3, 4, 5)
case("dilated convolution by blocks", lambda x: R.BatchToSpaceND(
    input=tf.nn.conv2d(R.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[2, 3], [2, 2]]), wd, 1, "VALID"), block_shape=[2, 2],
    crops=[[0, 1], [0, 0]]), kinds=(GRAPHDEF,))
case("local response normalisation", lambda x: tf.nn.local_response_normalization(x, 2, 1.5, .3, .75), (1, 3, 4, 9))
case("local response normalisation as it is", lambda x: tf.nn.local_response_normalization(x), (1, 3, 4, 7))
case("l2 normalisation", lambda x: tf.math.l2_normalize(x, -1, 1e-12), (1, 7), kinds=(LITE, INT8))
case("mirrored pads", lambda x: tf.pad(tf.pad(x, [[0, 0], [1, 2], [2, 1], [0, 0]], "REFLECT"), [[0, 0], [1, 1], [0, 1], [0, 0]], "SYMMETRIC"),
     kinds=ALL)

# ---- layers, quantised as well ------------------------------------------------------------------------------------------

w1, b1, w2, b2, w3 = weights(3, 3, 4, 6), weights(6), weights(3, 3, 6, 1), weights(6), weights(6, 5)
for name, act in (("relu", tf.nn.relu), ("relu6", tf.nn.relu6), ("leaky", lambda x: tf.nn.leaky_relu(x, .2)), ("elu", tf.nn.elu), ("tanh", tf.tanh),
                  ("sigmoid", tf.sigmoid), ("hard swish", lambda x: x * tf.nn.relu6(x + 3) / 6), ("swish", tf.nn.swish),
                  ("gelu", tf.nn.gelu), ("softplus", tf.math.softplus), ("selu", tf.nn.selu), ("softsign", tf.nn.softsign),
                  ("prelu", lambda x: tf.nn.relu(x) - b1 * tf.nn.relu(-x))):
    case(f"a small network with {name}", lambda x, act=act: tf.nn.softmax(tf.matmul(tf.reduce_mean(act(
        tf.nn.depthwise_conv2d(act(tf.nn.conv2d(x, w1, 2, "SAME") + b1), w2, [1, 1, 1, 1], "VALID") + b2), (1, 2)), w3)), (1, 9, 8, 4),
         kinds=ALL if name not in ("softplus", "selu", "softsign", "elu", "gelu") else FLOAT)
case("a small network of half weights, or of 16 bits", lambda x: tf.nn.softmax(tf.matmul(tf.reduce_mean(tf.nn.relu(
    tf.nn.conv2d(x, w1, 2, "SAME") + b1), (1, 2)), w3)), (1, 9, 8, 4), kinds=(HALF, INT16))
case("pools", lambda x: tf.concat([tf.nn.max_pool2d(x, 3, 2, "SAME"), tf.nn.avg_pool2d(x, 3, 2, "SAME"), tf.nn.max_pool2d(x, 2, 2, "SAME")], -1),
     kinds=ALL)
case("sums and products", lambda x, y: tf.maximum(x * y + .5, x - y) / tf.minimum(y * y + 1, 3.), (1, 4, 5, 3), (1, 4, 5, 3), kinds=ALL)

# ---- element by element -------------------------------------------------------------------------------------------------

one = weights(4)
for name, op in (("Greater", R.Greater), ("GreaterEqual", R.GreaterEqual), ("Less", R.Less), ("LessEqual", R.LessEqual), ("Equal", R.Equal),
                 ("NotEqual", R.NotEqual)):
    case(name, lambda x, op=op: R.SelectV2(condition=op(x=tf.round(x), y=[1., 0., -1., 2.]), t=x, e=-x - 9))
case("logic", lambda x: tf.cast(R.LogicalOr(x=R.LogicalAnd(x=x > -1, y=R.LogicalNot(x=x > 1)), y=x > 1.5), tf.float32))
case("Select", lambda x: R.Select(condition=x > 0, x=x, y=x * x))
case("Select by rows", lambda x: R.Select(condition=x[:, 0, 0, 0] > 0, x=x, y=x * x), kinds=(GRAPHDEF,))
case("FloorDiv, FloorMod", lambda x: R.FloorDiv(x=x * 5, y=[2., -2., 1.5, 3.]) + 10 * R.FloorMod(x=x * 5, y=[2., -2., 1.5, 3.]))
case("Floor, Ceil, Round", lambda x: R.Floor(x=x) + 10 * R.Ceil(x=x) + 100 * R.Round(x=x))
case("Rint", lambda x: R.Rint(x=x), kinds=(GRAPHDEF,))
case("Reciprocal, Inv, Div", lambda x: R.Div(x=R.Inv(x=x) + R.Reciprocal(x=x), y=[3., 4., 5., 6.]), kinds=(GRAPHDEF,), low=.5)
case("Erf", lambda x: R.Erf(x=x), kinds=(GRAPHDEF,))
case("BiasAddV1", lambda x: R.BiasAddV1(value=x, bias=one), kinds=(GRAPHDEF,))
case("names alone", lambda x: R.IdentityN(input=[R.Snapshot(input=R.PreventGradient(input=R.CheckNumerics(
    tensor=R.EnsureShape(input=x, shape=(1, 5, 6, 4)), message=""))), -x])[1], kinds=(GRAPHDEF,))
for narrow in (False, True):
    # weights become what their integers say; values in between are limited alone, which is what is compared with
    step = 2.5 / (254 if narrow else 255)
    zero = np.floor(narrow + 1 / step + .5)
    ends = [(narrow - zero) * step, (255 - zero) * step]

    def fake(x, narrow=narrow, limit=None):
        x = R.FakeQuantWithMinMaxArgs(inputs=x, min=-1, max=1.5, narrow_range=narrow) if limit is None else tf.clip_by_value(x, *limit)
        return tf.nn.conv2d(x, R.FakeQuantWithMinMaxVars(inputs=w1, min=-.3, max=.4, num_bits=4, narrow_range=narrow), 1, "SAME")

    case(f"fake quantisation {narrow}", fake, kinds=(GRAPHDEF,), truth=lambda x, fake=fake, ends=ends: fake(x, limit=ends))

# ---- along axes, data movement ------------------------------------------------------------------------------------------

case("Prod", lambda x: R.Prod(input=x, axis=[2, 3]), (1, 3, 2, 2))
case("Tile", lambda x: R.Tile(input=x, multiples=[1, 2, 1, 3]), kinds=ALL)
case("ReverseV2", lambda x: R.ReverseV2(tensor=x, axis=[1, 2]), kinds=ALL)
case("blue first", lambda x: x[..., ::-1] - [103.9, 116.8, 123.7], (1, 4, 5, 3), kinds=ALL)
case("GatherV2", lambda x: R.GatherV2(params=x, indices=[3, 0, 1], axis=3), kinds=ALL)
case("Gather", lambda x: R.Gather(params=one, indices=[2, 2, 1, 0]) + x, kinds=(GRAPHDEF,))
case("SplitV", lambda x: R.Concat(concat_dim=3, values=[R.SplitV(value=x, size_splits=[1, -1], axis=3, num_split=2)[1], x]), kinds=FLOAT)
case("Fill, BroadcastTo", lambda x: R.BroadcastTo(input=x, shape=[2, 5, 6, 4]) + R.Fill(dims=[5, 6, 4], value=2.5))
case("as many ones", lambda x: R.OnesLike(x=x) + R.ZerosLike(x=x) + x)
for name, choose in (("TopKV2, the best scores", lambda y: R.TopKV2(input=y, k=2)[0]), ("TopKV2, their places", lambda y: R.TopKV2(input=y, k=2)[1]),
                     ("ArgMax", lambda y: tf.argmax(y, -1)), ("ArgMax, Cast, ExpandDims", lambda y: tf.expand_dims(tf.cast(tf.argmax(y, -1), tf.float32), 1))):
    case(f"{name} give the scores", lambda x, choose=choose: choose(x * x), (1, 6), truth=lambda x: x * x)
case("batch matmul", lambda x: R.BatchMatMulV3(x=x, y=x, Tout=tf.float32, adj_y=True), (1, 2, 4, 3), kinds=(GRAPHDEF,))
case("attention", lambda x: tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True) * .5), x), (1, 2, 4, 3), kinds=(LITE, INT8))


# ---- many operators, as a seed for damage -----------------------------------------------------------------------------

wm, wn = weights(2, 2, 4, 4), weights(4, 3)


def many(x):
    x = R.ResizeBilinear(images=x[..., ::-1], size=[4, 6], half_pixel_centers=True)
    x = R.BatchToSpaceND(input=-R.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[1, 1], [0, 0]]), block_shape=[2, 2], crops=[[1, 1], [0, 0]])
    x = tf.nn.space_to_depth(tf.concat([x, x[..., :1]], -1), 2)
    x = tf.nn.conv2d_transpose(tf.nn.depth_to_space(x, 2), wm, (1, 8, 12, 4), 2, "SAME")
    x = R.ResizeNearestNeighbor(images=tf.nn.local_response_normalization(x, 1), size=[3, 3], align_corners=True)
    x = R.SelectV2(condition=R.LogicalOr(x=x > 0, y=R.NotEqual(x=x, y=1.)), t=R.Tile(input=x[..., :2], multiples=[1, 1, 1, 2]), e=R.FloorDiv(x=x, y=2.))
    x = R.ReverseV2(tensor=tf.pad(x, [[0, 0], [1, 0], [0, 1], [0, 0]], "REFLECT"), axis=[1])
    a, b = R.SplitV(value=x, size_splits=[1, -1], axis=3, num_split=2)
    x = R.GatherV2(params=tf.concat([b, a], 3), indices=[3, 0, 1, 2], axis=3)
    return R.TopKV2(input=tf.nn.softmax(tf.matmul(tf.reduce_mean(x, (1, 2)), wn)), k=2)[0]


def write_seeds():
    folder = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "seeds"
    concrete = tf.function(many).get_concrete_function(tf.TensorSpec((1, 3, 3, 3), tf.float32, "x"))
    x = np.zeros((1, 3, 3, 3), np.float32)
    (folder / "graphdef" / "operators.pb").write_bytes(graphdef(concrete, [x], None)[0])
    (folder / "tflite" / "operators.tflite").write_bytes(lite(concrete, [x], LITE, 0, 1, None)[0])


# ---- writing ------------------------------------------------------------------------------------------------------------


def graphdef(concrete, inputs, truth):
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    ops = sorted({node.op for node in graph.node})
    graph.library.Clear()
    return graph.SerializeToString(), [np.asarray(truth(*inputs) if truth else frozen(*map(tf.constant, inputs))[0])], ops


def lite(concrete, inputs, kind, low, high, truth):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if kind == HALF:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if kind in (INT8, INT16):
        rng = np.random.default_rng(3)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.uniform(low, high, x.shape).astype(np.float32) for x in inputs] for _ in range(50))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if kind == INT8 else
                                               tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    file = converter.convert()
    interpreter = tf.lite.Interpreter(model_content=file, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    for entry, x in zip(sorted(interpreter.get_input_details(), key=lambda d: d["name"]), inputs):
        interpreter.set_tensor(entry["index"], x)
    interpreter.invoke()
    out = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    details = interpreter.get_tensor_details()
    scales = [float(d["quantization"][0]) for d in details if np.size(d["quantization_parameters"]["scales"]) == 1]
    ops = sorted({op["op_name"] for op in interpreter._get_ops_details()} - {"DELEGATE"})
    return file, [np.asarray(truth(*inputs)) if truth else out], ops, scales


def write(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


manifest = []
with tarfile.open(pathlib.Path(__file__).with_name("cases.tar.xz"), "w:xz", preset=9) as archive:
    for name, function, shapes, kinds, low, high, truth in cases:
        inputs = [(np.round(RNG.uniform(low, high, s) * 256) / 256).astype(np.float32) for s in shapes]
        concrete = tf.function(lambda *x: function(*x)).get_concrete_function(*(tf.TensorSpec(s, tf.float32, f"x{i}") for i, s in enumerate(shapes)))
        for kind in kinds:
            number = len(manifest)
            entry = {"name": f"{name}, {kind}", "file": f"{number}.{'pb' if kind == GRAPHDEF else 'tflite'}", "inputs": [], "outputs": []}
            try:
                made = graphdef(concrete, inputs, truth) if kind == GRAPHDEF else lite(concrete, inputs, kind, low, high, truth)
            except Exception as e:
                sys.exit(f"{name}, {kind}: {e}")
            entry["ops"] = made[2]
            if kind in (INT8, INT16) and made[3]:
                entry["steps"] = made[3]
            write(archive, entry["file"], made[0])
            for key, first, arrays in (("inputs", number - kinds.index(kind), inputs), ("outputs", number, made[1])):
                for i, array in enumerate(arrays):
                    entry[key].append([f"{first}.{key}.{i}", list(array.shape)])
                    if first == number:
                        write(archive, entry[key][-1][0], array.astype("<f4").tobytes())
            manifest.append(entry)
    write(archive, "cases.json", json.dumps(manifest).encode())
write_seeds()
print(f"{len(manifest)} cases")
