#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: make-pt2.py

Writes small.pt2 beside it anew: a convolution with its activation in place, a norm, pieces of the channels, sizes that
are computed, and a product, as torch.export.save() writes them but for what a reader has no use for; and small.pt, much
the same as torch.jit.save() does.
"""
import io
import json
import pathlib
import pickle
import struct
import sys
import types
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
with zipfile.ZipFile(here / "pt2" / "small.pt2", "w", zipfile.ZIP_STORED) as archive:
    for name, data in members.items():
        archive.writestr(zipfile.ZipInfo("net/" + name), data)

# TorchScript: pickled objects of classes that are nowhere but in the archive's code
CODE = """class Net(Module):
  __parameters__ = ["weight", ]
  training : bool
  weight : Tensor
  fc : __torch__.small.Head
  def forward(self: __torch__.small.Net,
    x: Tensor) -> Tensor:
    fc = self.fc
    weight = self.weight
    y = torch._convolution(x, weight, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1, False, False, True, True)
    a, b, = torch.chunk(torch.relu_(y), 2, 1)
    n = ops.prim.NumToTensor(torch.size(a, 0))
    z = torch.mean(torch.cat([b, a], 1), [2, 3], True)
    if self.flat:
      z0 = torch.view(z, [int(n), -1])
    else:
      z0 = z
    return (fc).forward(z0, )
class Head(Module):
  bias : Tensor
  def forward(self: __torch__.small.Head,
    x: Tensor) -> Tensor:
    w = getattr(self, "0")
    return __torch__.small.scaled(torch.linear(x, w, self.bias), CONSTANTS.c0, 1. , )
def scaled(x: Tensor,
    s: Tensor,
    by: float=2.) -> Tensor:
  return torch.mul(torch.mul(x, s), by)
"""


def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        value.__module__, value.__qualname__ = name, key
        setattr(sys.modules[name], key, value)


class FloatStorage:
    pass


class Net:
    pass


class Head:
    pass


def _rebuild_tensor_v2(*_):
    pass


class Tensor:
    def __init__(self, key, *shape):
        self.key, self.shape = key, shape

    def __reduce__(self):
        strides, n = [], 1
        for extent in reversed(self.shape):
            strides.insert(0, n)
            n *= extent
        return _rebuild_tensor_v2, (Storage(("storage", FloatStorage, self.key, "cpu", n)), 0, self.shape, tuple(strides), False, {})


class Storage(tuple):
    pass


class Pickler(pickle._Pickler):  # the one in C does not look at classes of tuples
    def persistent_id(self, value):
        return tuple(value) if isinstance(value, Storage) else None


def pickled(value):
    file = io.BytesIO()
    Pickler(file, 2).dump(value)
    return file.getvalue()


for name in ("__torch__", "torch"):
    module(name)
module("__torch__.small", Net=Net, Head=Head)
module("torch", FloatStorage=FloatStorage)
module("torch._utils", _rebuild_tensor_v2=_rebuild_tensor_v2)
net, head = Net(), Head()
head.__dict__ |= {"bias": Tensor("1", 2), "0": Tensor("2", 2, 4)}
net.__dict__ |= {"training": False, "flat": True, "weight": Tensor("0", 4, 3, 3, 3), "fc": head}
numbers = {"data/0": 108, "data/1": 2, "data/2": 8, "constants/0": 1}
members = {"data.pkl": pickled(net), "constants.pkl": pickled((Tensor("0"),)), "traced_inputs.pkl": pickled({"forward": (Tensor("0", 1, 3, 6, 6),)}),
           "code/__torch__/small.py": CODE.encode(), "byteorder": b"little"}
members |= {name: struct.pack(f"<{n}f", *((k * 7 % 11 + 1) / 16 for k in range(n))) for name, n in numbers.items()}
with zipfile.ZipFile(here / "torchscript" / "small.pt", "w", zipfile.ZIP_STORED) as archive:
    for name, data in members.items():
        archive.writestr(zipfile.ZipInfo("net/" + name), data)
