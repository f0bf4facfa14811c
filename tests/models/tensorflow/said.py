#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: said.py OUT.tflite

Writes a network of means whose height and width are free, with metadata that says them, the normalisation and the labels; by
flatc and the schemas in models/tflite. said.tflite beside this script is what it writes.
"""
import io
import json
import pathlib
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


metadata = flatc("metadata_schema.fbs", {"name": "means", "subgraph_metadata": [{
    "input_tensor_metadata": [{
        "content": {"content_properties_type": "ImageProperties",
                    "content_properties": {"color_space": "RGB", "default_size": {"width": 7, "height": 6}}},
        "process_units": [{"options_type": "NormalizationOptions", "options": {"mean": [127.5], "std": [63.75]}}]}],
    "output_tensor_metadata": [{"associated_files": [{"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}]}]}]})
labels = io.BytesIO()
with zipfile.ZipFile(labels, "w") as archive:
    archive.writestr(zipfile.ZipInfo("labels.txt"), "apple\npear\nplum\n")
model = flatc("schema.fbs", {
    "version": 3, "operator_codes": [{"builtin_code": "MEAN", "deprecated_builtin_code": 40}],
    "buffers": [{}, {"data": [1, 0, 0, 0, 2, 0, 0, 0]}, {"data": list(metadata)}],
    "metadata": [{"name": "TFLITE_METADATA", "buffer": 2}],
    "subgraphs": [{"inputs": [0], "outputs": [2], "operators": [
        {"opcode_index": 0, "inputs": [0, 1], "outputs": [2], "builtin_options_type": "ReducerOptions",
         "builtin_options": {"keep_dims": False}}],
        "tensors": [{"name": "x", "shape": [1, 1, 1, 3], "shape_signature": [-1, -1, -1, 3], "type": "FLOAT32"},
                    {"name": "axes", "shape": [2], "type": "INT32", "buffer": 1},
                    {"name": "y", "shape": [1, 3], "type": "FLOAT32"}]}]})
pathlib.Path(sys.argv[1]).write_bytes(model + labels.getvalue())
