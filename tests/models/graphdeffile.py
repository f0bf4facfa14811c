# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes TensorFlow's GraphDef, byte by byte."""
import struct

import numpy as np

TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10, "float16": 19}


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def shape_of(dims):
    return b"".join(field(2, field(1, int(d))) for d in dims)


class Type(int):
    pass


def attribute(value):
    if isinstance(value, Type):
        return field(6, int(value))
    if isinstance(value, bool):
        return field(5, value)
    if isinstance(value, int):
        return field(3, value)
    if isinstance(value, float):
        return field(4, value)
    if isinstance(value, str):
        return field(2, value)
    if isinstance(value, list):
        return field(1, field(3, b"".join(varint(v) for v in value)))
    if isinstance(value, tuple):
        return field(7, shape_of(value))
    tensor = field(1, TYPES[str(value.dtype)]) + field(2, shape_of(value.shape)) + field(4, np.ascontiguousarray(value).tobytes())
    return field(8, tensor)


class Net:
    def __init__(self):
        self.bytes, self.n, self.ops = b"", 0, set()

    def op(self, name, *inputs, **attributes):
        self.ops.add(name)
        node = f"n{self.n}"
        self.n += 1
        body = field(1, node) + field(2, name) + b"".join(field(3, i) for i in inputs)
        body += b"".join(field(5, field(1, k) + field(2, attribute(v))) for k, v in attributes.items())
        self.bytes += field(1, body)
        return node

    def constant(self, values, dtype=None):
        values = np.asarray(values, dtype=dtype)
        return self.op("Const", dtype=Type(TYPES[str(values.dtype)]), value=values)

    def input(self, shape, dtype="float32"):
        return self.op("Placeholder", dtype=Type(TYPES[dtype]), shape=tuple(shape))
