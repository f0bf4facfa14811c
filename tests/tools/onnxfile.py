# SPDX-License-Identifier: LGPL-2.1-or-later
"""ONNX files without the onnx package: each function gives the bytes of a protobuf message of onnx.proto."""
import struct

FLOAT, INT64, BOOL = 1, 7, 9


def varint(n):
    n &= 2**64 - 1  # negative numbers take ten bytes
    return bytes([n & 0x7f | 0x80]) + varint(n >> 7) if n > 0x7f else bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    if isinstance(value, int):
        return field(5, field(1, name) + field(3, value) + field(20, 2))
    if isinstance(value, float):
        return field(5, field(1, name) + field(2, value) + field(20, 1))
    return field(5, field(1, name) + b"".join(field(8, i) for i in value) + field(20, 7))


def node(op, inputs, outputs, **attributes):
    """inputs and outputs: names with blanks between them."""
    return field(1, b"".join(field(1, i) for i in inputs.split()) + b"".join(field(2, o) for o in outputs.split())
                 + field(4, op) + b"".join(attribute(*a) for a in attributes.items()))


def constant(name, dims, values, dtype=FLOAT):
    """values: numbers, or bytes as they lie in the file."""
    if not isinstance(values, bytes):
        values = struct.pack("<%d%s" % (len(values), {FLOAT: "f", INT64: "q", BOOL: "?"}[dtype]), *values)
    return field(5, b"".join(field(1, n) for n in dims) + field(2, dtype) + field(8, name) + field(9, values))


def value(name, dims, dtype=FLOAT):
    """A tensor's name, type and shape; a name among the dimensions is one that is free; dims None: no shape."""
    shape = b"" if dims is None else field(2, b"".join(
        field(1, field(2, n) if isinstance(n, str) else field(1, n)) for n in dims))
    return field(1, name) + field(2, field(1, field(1, dtype) + shape))


def model(parts, inputs, outputs, opset=13, producer=None):
    """parts: nodes and constants; inputs and outputs: value()s; producer: who wrote the file, or None."""
    graph = b"".join(parts) + field(2, "g") + b"".join(field(11, i) for i in inputs) + b"".join(field(12, o) for o in outputs)
    return field(1, 8) + (field(2, producer) if producer else b"") + field(7, graph) + field(8, field(2, opset))
