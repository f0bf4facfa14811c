# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes .caffemodel files for tests: the wire format by hand, no protobuf needed."""
import struct


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def single(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def blob(array, form="shape"):
    """BlobProto of a numpy array; form: "shape", "legacy" (num, channels, height, width), "double"."""
    flat = array.ravel()
    if form == "double":
        values = data(8, struct.pack(f"<{flat.size}d", *flat))
    else:
        values = data(5, struct.pack(f"<{flat.size}f", *flat))
    if form == "legacy":
        dims = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(number(1 + i, d) for i, d in enumerate(dims)) + values
    return values + data(7, data(1, b"".join(varint(d) for d in array.shape)))


def layer(name, kind, bottoms=(), tops=(), blobs=(), more=b""):
    """LayerParameter; blobs are BlobProtos."""
    out = data(1, name) + data(2, kind)
    out += b"".join(data(3, b) for b in bottoms) + b"".join(data(4, t) for t in tops)
    return out + b"".join(data(7, b) for b in blobs) + more


def layer_v1(name, kind, bottoms=(), tops=(), blobs=(), more=b""):
    """V1LayerParameter; kind is the number of its LayerType."""
    out = b"".join(data(2, b) for b in bottoms) + b"".join(data(3, t) for t in tops) + data(4, name) + number(5, kind)
    return out + b"".join(data(6, b) for b in blobs) + more


def net(layers, name="test", v1=False, more=b""):
    return data(1, name) + more + b"".join(data(2 if v1 else 100, l) for l in layers)
