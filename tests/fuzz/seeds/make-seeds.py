#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: make-seeds.py FLATC

Writes the seeds beside it anew: small.tflite (an integer convolution, a pool, a dense layer, metadata and labels) and
small.pb (a convolution, a batch norm, a product).
"""
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

here = pathlib.Path(__file__).resolve().parent
source = here.parents[2]


def flatc(schema, content, folder, name):
    text = folder / f"{name}.json"
    text.write_text(json.dumps(content))
    subprocess.run([sys.argv[1], "-b", "-o", folder, source / "models/tflite" / schema, text], check=True)
    return next(p for p in folder.glob(f"{name}.*") if p.suffix != ".json").read_bytes()


def floats(*values):
    return list(struct.pack(f"<{len(values)}f", *values))


def integers(*values):
    return list(struct.pack(f"<{len(values)}i", *values))


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    metadata = {"name": "small", "subgraph_metadata": [{
        "input_tensor_metadata": [{"process_units": [{"options_type": "NormalizationOptions", "options": {"mean": [127.5], "std": [127.5]}}]}],
        "output_tensor_metadata": [{"associated_files": [{"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}]}]}]}
    tensors = [({"shape": [1, 6, 6, 3], "type": "UINT8", "quantization": {"scale": [0.01], "zero_point": [128]}}, None),
               ({"shape": [2, 3, 3, 3], "type": "INT8", "quantization": {"scale": [0.02, 0.03], "zero_point": [0, 0]}}, [i % 256 for i in range(54)]),
               ({"shape": [2], "type": "INT32", "quantization": {"scale": [0.0002, 0.0003], "zero_point": [0, 0]}}, integers(100, -100)),
               ({"shape": [1, 3, 3, 2], "type": "UINT8", "quantization": {"scale": [0.02], "zero_point": [0]}}, None),
               ({"shape": [2], "type": "INT32"}, integers(1, 2)), ({"shape": [1, 2], "type": "FLOAT32"}, None),
               ({"shape": [3, 2], "type": "FLOAT32"}, floats(1, 2, 3, 4, 5, 6)), ({"shape": [1, 3], "type": "FLOAT32"}, None),
               ({"shape": [1, 3], "type": "FLOAT32"}, None)]
    buffers = [{}]
    for i, (tensor, data) in enumerate(tensors):
        tensor |= {"name": f"t{i}", "buffer": len(buffers) if data else 0}
        if data:
            buffers.append({"data": data})
    buffers.append({"data": list(flatc("metadata_schema.fbs", metadata, folder, "metadata"))})
    operators = [(3, [0, 1, 2], 3, "Conv2DOptions", {"padding": "SAME", "stride_h": 2, "stride_w": 2, "fused_activation_function": "RELU6"}),
                 (40, [3, 4], 5, "ReducerOptions", {}), (9, [5, 6], 7, "FullyConnectedOptions", {}), (25, [7], 8, "SoftmaxOptions", {"beta": 1.0})]
    model = {"version": 3, "operator_codes": [{"builtin_code": code, "deprecated_builtin_code": code} for code, *_ in operators],
             "buffers": buffers, "metadata": [{"name": "TFLITE_METADATA", "buffer": len(buffers) - 1}],
             "subgraphs": [{"tensors": [t for t, _ in tensors], "inputs": [0], "outputs": [8],
                            "operators": [{"opcode_index": i, "inputs": inputs, "outputs": [output], "builtin_options_type": kind,
                                           "builtin_options": fields} for i, (_, inputs, output, kind, fields) in enumerate(operators)]}]}
    archive = io.BytesIO(flatc("schema.fbs", model, folder, "small"))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as labels:
        labels.writestr(zipfile.ZipInfo("labels.txt"), "apple\npear\nplum\n", zipfile.ZIP_DEFLATED)
    (here / "tflite" / "small.tflite").write_bytes(archive.getvalue())


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3, value])
    value = value.encode() if isinstance(value, str) else value
    size = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + size + value


def shape(*dims):
    return b"".join(field(2, field(1, d)) for d in dims)


def node(name, op, *inputs, **attributes):
    attributes = b"".join(field(5, field(1, k) + field(2, v)) for k, v in attributes.items())
    return field(1, field(1, name) + field(2, op) + b"".join(field(3, i) for i in inputs) + attributes)


def constant(name, dims, *values):
    kind, data = (3, bytes(integers(*values))) if isinstance(values[0], int) else (1, bytes(floats(*values)))
    return node(name, "Const", value=field(8, field(1, kind) + field(2, shape(*dims)) + field(4, data)))


graph = node("x", "Placeholder", dtype=field(6, 1), shape=field(7, shape(1, 6, 6, 3)))
graph += constant("w", (2, 2, 3, 2), *(i / 8 for i in range(24)))
graph += node("conv", "Conv2D", "x", "w", padding=field(2, "SAME"), strides=field(1, field(3, bytes([1, 2, 2, 1]))))
graph += constant("a", (2,), 1.0, 2.0) + constant("b", (2,), 0.5, 0.25)
graph += node("norm", "FusedBatchNormV3", "conv", "a", "b", "b", "a", is_training=field(5, 0))
graph += constant("axes", (2,), 1, 2) + node("mean", "Mean", "norm", "axes") + constant("m", (2, 3), *(float(i) for i in range(6)))
graph += node("y", "MatMul", "mean", "m") + node("softmax", "Softmax", "y")
(here / "graphdef" / "small.pb").write_bytes(graph)
