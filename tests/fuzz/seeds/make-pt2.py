#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: make-pt2.py

Writes small.pt2 beside it anew: a convolution with its activation in place, a norm, pieces of the channels, sizes that
are computed, and a product, as torch.export.save() writes them but for what a reader has no use for.
"""
import json
import pathlib
import struct
import zipfile

here = pathlib.Path(__file__).resolve().parent
weights = {"conv.weight": (4, 3, 3, 3), "norm.weight": (4,), "norm.bias": (4,), "norm.mean": (4,), "norm.var": (4,), "fc.weight": (2, 4)}


def sizes(values):
    return [{"as_int": v} for v in values]


def meta(shape):
    strides = [1] * len(shape)
    for i in range(len(shape) - 1, 0, -1):
        strides[i - 1] = strides[i] * shape[i]
    return {"dtype": 7, "sizes": sizes(shape), "strides": sizes(strides), "storage_offset": {"as_int": 0}, "layout": 7}


def tensor(name):
    return {"as_tensor": {"name": name}}


def node(name, target, outputs=None, **inputs):
    return {"name": name, "target": target if target.startswith("_") else "torch.ops.aten." + target,
            "inputs": [{"name": k, "arg": v} for k, v in inputs.items()], "outputs": outputs or [tensor(name)]}


numbers = {"as_sym_int": {"as_name": "n"}}
nodes = [
    node("conv", "conv2d.default", input=tensor("x"), weight=tensor("w0"), bias={"as_none": True}, stride={"as_ints": [2, 2]}, padding={"as_ints": [1, 1]}),
    node("relu", "relu_.default", self=tensor("conv")),
    node("norm", "batch_norm.default", input=tensor("relu"), weight=tensor("w1"), bias=tensor("w2"), running_mean=tensor("w3"), running_var=tensor("w4"),
         training={"as_bool": False}, momentum={"as_float": 0.1}, eps={"as_float": 1e-05}, cudnn_enabled={"as_bool": True}),
    node("parts", "chunk.default", [{"as_tensors": [{"name": "a"}, {"name": "b"}]}], self=tensor("norm"), chunks={"as_int": 2}, dim={"as_int": 1}),
    node("cat", "cat.default", tensors={"as_tensors": [{"name": "b"}, {"name": "a"}]}, dim={"as_int": 1}),
    node("mean", "mean.dim", self=tensor("cat"), dim={"as_ints": [2, 3]}, keepdim={"as_bool": True}),
    node("n", "sym_size.int", [numbers], self=tensor("mean"), dim={"as_int": 0}),
    node("view", "view.default", self=tensor("mean"), size={"as_sym_ints": [numbers["as_sym_int"], {"as_int": -1}]}),
    node("y", "linear.default", input=tensor("view"), weight=tensor("w5"))]
specs = [{"parameter": {"arg": {"name": f"w{i}"}, "parameter_name": name}} for i, name in enumerate(weights)]
model = {"schema_version": {"major": 8, "minor": 20}, "torch_version": "2.15.0", "graph_module": {
    "graph": {"nodes": nodes, "tensor_values": {"x": meta((1, 3, 6, 6))}},
    "signature": {"input_specs": specs + [{"user_input": {"arg": tensor("x")}}], "output_specs": [{"user_output": {"arg": tensor("y")}}]}}}
config = {name: {"path_name": f"weight_{i}", "use_pickle": False, "tensor_meta": meta(shape)} for i, (name, shape) in enumerate(weights.items())}
members = {"archive_format": b"pt2", "byteorder": b"little", "models/model.json": json.dumps(model, separators=(",", ":")).encode(),
           "data/weights/model_weights_config.json": json.dumps({"config": config}, separators=(",", ":")).encode()}
for i, shape in enumerate(weights.values()):
    n = 1
    for extent in shape:
        n *= extent
    members[f"data/weights/weight_{i}"] = struct.pack(f"<{n}f", *((k * 7 % 11 + 1) / 16 for k in range(n)))
with zipfile.ZipFile(here / "small.pt2", "w", zipfile.ZIP_STORED) as archive:
    for name, data in members.items():
        archive.writestr(zipfile.ZipInfo("net/" + name), data)
