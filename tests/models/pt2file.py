# SPDX-License-Identifier: LGPL-2.1-or-later
"""PyTorch's .pt2 archives as torch.export.save() writes them, made of operators by name. Needs PyTorch, for its tensors."""
import io
import json
import re
import zipfile

import torch

TYPES = {torch.uint8: 1, torch.int8: 2, torch.int16: 3, torch.int32: 4, torch.int64: 5, torch.float16: 6, torch.float32: 7, torch.float64: 8,
         torch.bool: 12, torch.bfloat16: 13}


def sizes(values):
    return [{"as_int": int(v)} for v in values]


def meta(x, shape=None):
    return {"dtype": TYPES[x.dtype], "sizes": shape or sizes(x.shape), "requires_grad": False, "device": {"type": "cpu", "index": None},
            "strides": sizes(x.stride()), "storage_offset": {"as_int": x.storage_offset()}, "layout": 7}


class Net:
    """An archive under construction. Values are names; tensors given as arguments become weights."""

    def __init__(self):
        self.nodes, self.inputs, self.weights, self.specs, self.values, self.ops = [], [], {}, [], {}, set()

    def input(self, x, shape=None):
        name = f"x{len(self.inputs)}"
        self.inputs.append(x)
        self.specs.append({"user_input": {"arg": {"as_tensor": {"name": name}}}})
        self.values[name] = meta(x, shape)
        return name

    def weight(self, x):
        name = f"w{len(self.weights)}"
        self.weights["net." + name] = x
        self.specs.append({"parameter": {"arg": {"name": name}, "parameter_name": "net." + name}})
        return name

    def argument(self, value):
        if isinstance(value, torch.Tensor):
            return {"as_tensor": {"name": self.weight(value)}}
        if isinstance(value, str) and re.fullmatch(r"[xwn]\d+(_\d+)?", value):
            return {"as_tensor": {"name": value}}
        if isinstance(value, list) and any(isinstance(v, (str, torch.Tensor)) for v in value):
            if any(v is None for v in value):
                return {"as_optional_tensors": [{"as_none": True} if v is None else self.argument(v) for v in value]}
            return {"as_tensors": [self.argument(v)["as_tensor"] for v in value]}
        if isinstance(value, list) and any(isinstance(v, float) for v in value):
            return {"as_floats": value}
        for kind, name in ((type(None), "as_none"), (bool, "as_bool"), (int, "as_int"), (float, "as_float"), (str, "as_string"),
                           (torch.dtype, "as_scalar_type"), (list, "as_ints"), (dict, "")):
            if isinstance(value, kind):
                break
        if isinstance(value, dict):
            return value
        return {name: True if value is None else TYPES[value] if isinstance(value, torch.dtype) else value}

    def op(self, target, args, n=1, listed=False):
        """n results, or a list of them. args: by name; a name of None is by its place."""
        self.ops.add(target)
        name = f"n{len(self.nodes)}"
        names = [name] if n == 1 and not listed else [f"{name}_{i}" for i in range(n)]
        outputs = [{"as_tensor": {"name": k}} for k in names]
        self.nodes.append({"target": target if target.startswith("_operator") else "torch.ops.aten." + target,
                           "inputs": [{"name": k or "", "arg": self.argument(v), "kind": 1} for k, v in args.items()],
                           "outputs": [{"as_tensors": [{"name": k} for k in names]}] if listed else outputs,
                           "metadata": {}, "is_hop_single_tensor_return": None, "name": name})
        return names if n > 1 or listed else name

    def number(self, target, args):
        self.op(target, args)
        self.nodes[-1]["outputs"] = [{"as_sym_int": {"as_name": self.nodes[-1]["name"]}}]
        return {"as_sym_int": {"as_name": self.nodes[-1]["name"]}}

    def archive(self, outputs, change=None):
        signature = {"input_specs": self.specs, "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": k}}}} for k in outputs]}
        graph = {"inputs": [], "outputs": [], "nodes": self.nodes, "tensor_values": self.values}
        model = {"graph_module": {"graph": graph, "signature": signature}, "schema_version": {"major": 8, "minor": 20}, "torch_version": "2.15.0"}
        config = {k: {"path_name": f"weight_{i}", "is_param": True, "use_pickle": False, "tensor_meta": meta(x)}
                  for i, (k, x) in enumerate(self.weights.items())}
        members = {"data/weights/model_weights_config.json": {"config": config}, "data/constants/model_constants_config.json": {"config": {}},
                   "models/model.json": model}
        members = {k: json.dumps(v).encode() for k, v in members.items()}
        members |= {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
        for i, x in enumerate(self.weights.values()):
            flat = torch.as_strided(x, (x.storage().size(),), (1,), 0)
            members[f"data/weights/weight_{i}"] = flat.view(torch.int16 if x.dtype == torch.bfloat16 else x.dtype).numpy().tobytes()
        if change:
            change(members)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for k, data in members.items():
                archive.writestr(zipfile.ZipInfo("net/" + k), data)
        return file.getvalue()
