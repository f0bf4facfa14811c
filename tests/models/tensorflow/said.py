#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: said.py SAID.tflite TWICE.tflite

Writes networks of means whose height and width are free, with metadata that says them, the normalisation and the labels; by
flatc and the schemas in models/tflite. The second's metadata does not lie aligned, as tflite_support writes it, names a file of
labels that is not there, and is followed by an entry of the same name that is damaged. said.tflite and twice.tflite beside this
script are what it writes.
"""
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

schemas = pathlib.Path(__file__).resolve().parents[3] / "models" / "tflite"


def flatc(schema, content):
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "file.json"
        text.write_text(json.dumps(content))
        subprocess.run(["flatc", "-b", "-o", folder, schemas / schema, text], check=True)
        (made,) = [path for path in pathlib.Path(folder).iterdir() if path != text]
        return made.read_bytes()


def said(labels):
    return flatc("metadata_schema.fbs", {"name": "means", "subgraph_metadata": [{
        "input_tensor_metadata": [{
            "content": {"content_properties_type": "ImageProperties",
                        "content_properties": {"color_space": "RGB", "default_size": {"width": 7, "height": 6}}},
            "process_units": [{"options_type": "NormalizationOptions", "options": {"mean": [127.5], "std": [63.75]}}]}],
        "output_tensor_metadata": [{"associated_files": [{"name": labels, "type": "TENSOR_AXIS_LABELS"}]}]}]})


def means(*metadata):
    """metadata: the bytes of each entry."""
    return flatc("schema.fbs", {
        "version": 3, "operator_codes": [{"builtin_code": "MEAN", "deprecated_builtin_code": 40}],
        "buffers": [{}, {"data": [1, 0, 0, 0, 2, 0, 0, 0]}, *({"data": list(data)} for data in metadata)],
        "metadata": [{"name": "TFLITE_METADATA", "buffer": 2 + i} for i in range(len(metadata))],
        "subgraphs": [{"inputs": [0], "outputs": [2], "operators": [
            {"opcode_index": 0, "inputs": [0, 1], "outputs": [2], "builtin_options_type": "ReducerOptions",
             "builtin_options": {"keep_dims": False}}],
            "tensors": [{"name": "x", "shape": [1, 1, 1, 3], "shape_signature": [-1, -1, -1, 3], "type": "FLOAT32"},
                        {"name": "axes", "shape": [2], "type": "INT32", "buffer": 1},
                        {"name": "y", "shape": [1, 3], "type": "FLOAT32"}]}]})


def move(model, vector):
    """The vector at these bytes begins four behind them."""
    at = model.index(vector)
    (field,) = [i for i in range(0, at, 4) if i + struct.unpack_from("<I", model, i)[0] == at]
    return model[:field] + struct.pack("<I", at + 4 - field) + model[field + 4:]


labels = io.BytesIO()
with zipfile.ZipFile(labels, "w") as archive:
    archive.writestr(zipfile.ZipInfo("labels.txt"), "apple\npear\nplum\n")
pathlib.Path(sys.argv[1]).write_bytes(means(said("labels.txt")) + labels.getvalue())
metadata = said("0123456789" * 10 + ".txt")
vector = struct.pack("<I", len(metadata)) + metadata
pathlib.Path(sys.argv[2]).write_bytes(move(means(vector, b"damaged!"), struct.pack("<I", len(vector)) + vector))
