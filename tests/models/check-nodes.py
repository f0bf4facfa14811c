#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-nodes.py ONNX-RUN BUILD [--only TEXT] [--keep]

The node cases of the onnx package (onnx.backend.test) for every operator the importer takes: single operators, and
those functions written out in operators that are all taken. Each case's outputs, of the graph as imported and of the
rewritten one, are compared with the stored ones in the suite's own tolerances.

What may be excluded, and nothing else, is decided from the model alone, before it runs:
  types      arithmetic in a type that is neither float32 nor float16
  strings    strings
  sequences  sequences and optional values
  training   training mode
  regions    Resize of a region that is an input (tf_crop_and_resize)
An excluded case is run all the same if the importer takes it: refused, it counts as excluded; with right results as
passed; with wrong ones as failed. Per operator the numbers of cases, run, passed, failed and excluded (by kind) are
printed; an operator of whose cases more than a quarter is excluded fails. No inference engine can have strings, sequences
and training, so these stand outside of that quarter; every operator that has them is listed with what they are.
"""
import argparse
import collections
import pathlib
import shutil
import sys
import tempfile

import references

parser = argparse.ArgumentParser()
parser.add_argument("onnx_run")
parser.add_argument("build")
parser.add_argument("--only", default="")
parser.add_argument("--keep", action="store_true")
options = parser.parse_args()
references.enter(options.build)

import subprocess

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_node_model_tests

OUTSIDE = ("strings", "sequences", "training")  # of the quarter
KINDS = ("types", "regions", *OUTSIDE)
OLDEST = 7
# Stored outputs that contradict the operator's text, where length_resized is a number of elements, and ONNX Runtime: its
# outputs are compared with instead.
CORRECTED = {"test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"}
SPACING = {"float16": 2**-10, "bfloat16": 2**-7}  # relative, at worst
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}
# operators that move or compare values of any type, where other types are no arithmetic
MOVES = set("""Cast CastLike Concat Constant ConstantOfShape DepthToSpace Equal Expand Flatten Gather GatherND Identity Pad Range
               Reshape Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze Where""".split())


def element_types(model):
    """All element types of inputs, outputs and Cast targets; None among them: no tensor but a sequence or an optional."""
    types = set()
    for value in [*model.graph.input, *model.graph.output]:
        types.add(value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else None)
    for node in model.graph.node:
        types |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
    return types


def is_training(case):
    """Training mode: an attribute, Dropout's third input being true, or BatchNormalization's further outputs."""
    inputs = dict(zip((i.name for i in case.model.graph.input), case.data_sets[0][0]))
    for node in case.model.graph.node:
        if any(a.name == "training_mode" and a.i for a in node.attribute):
            return True
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in inputs and inputs[node.input[2]]:
            return True
    return False


def excuse(case):
    types = element_types(case.model)
    if None in types:
        return "sequences"
    if TensorProto.STRING in types:
        return "strings"
    if is_training(case):
        return "training"
    if any(a.s == b"tf_crop_and_resize" for node in case.model.graph.node for a in node.attribute):
        return "regions"
    ops = {node.op_type for node in case.model.graph.node}
    first = case.model.graph.input[0].type.tensor_type.elem_type if case.model.graph.input else TensorProto.FLOAT
    if len(ops) == 1 and not ops & MOVES and first not in FLOATS | {TensorProto.BOOL}:
        return "types"
    return None


def differs(found, expected, case, stage):
    """What is wrong, or None. The suite's relative tolerance is about float16's spacing and below bfloat16's: where
    several roundings to a half follow each other, or fewer since the rewritten graph computes in float32, two spacings
    are allowed."""
    expected = np.asarray(expected)
    rtol, atol = case.rtol, case.atol
    if expected.dtype.name in SPACING and (stage == "rewritten" or len(case.model.graph.node) > 1):
        rtol = max(rtol, 2 * SPACING[expected.dtype.name])
    if stage == "rewritten" and found.dtype == np.float32 and expected.dtype.name in SPACING:
        expected = expected.astype(np.float32)
    if found.dtype != expected.dtype:
        return f"{found.dtype}, expected {expected.dtype}"
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind in "biu":
        wrong = found != expected
    elif expected.dtype.itemsize == 1:  # floats and integers of 8 bits and less: no tolerance, but NaN has several codes
        a, b = found.astype(np.float64), expected.astype(np.float64)
        wrong = ~((a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b)))
    else:
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(found.astype(np.float64), expected.astype(np.float64), rtol=rtol, atol=atol,
                                equal_nan=True)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{int(wrong.sum())} of {expected.size} values, first at {at}: {found[at]}, expected {expected[at]}"
    return None


def stored_outputs(case):
    if case.name not in CORRECTED:
        return case.data_sets[0][1]
    session = onnxruntime.InferenceSession(case.model.SerializeToString())
    return session.run(None, dict(zip((i.name for i in case.model.graph.input), case.data_sets[0][0])))


def raise_opset(case):
    """A case may say an older opset than is taken here (Not: 1). The operator is the same one if its definition in force
    at the oldest opset taken is that of the case's own."""
    for imported in case.model.opset_import:
        if imported.domain == "" and imported.version < OLDEST and all(
                onnx.defs.get_schema(node.op_type, OLDEST).since_version <= imported.version
                for node in case.model.graph.node):
            imported.version = OLDEST


def all_nodes(graph):
    """Of a graph and of those within its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


def wanted_cases(taken):
    for case in load_node_model_tests():
        raise_opset(case)
        ops = [(node.domain, node.op_type) for node in all_nodes(case.model.graph)]
        if all(domain in ("", "ai.onnx") and op in taken for domain, op in ops) and options.only in case.name:
            yield case


def operator_of(case, taken):
    """The operator a case counts for: its one operator, or the function it writes out."""
    ops = {node.op_type for node in case.model.graph.node}
    return ops.pop() if len(ops) == 1 and "_expanded" not in case.name else "(functions written out)"


taken = set(subprocess.run([options.onnx_run, "--list-ops"], capture_output=True, text=True, check=True).stdout.split())
folder = pathlib.Path(tempfile.mkdtemp(prefix="nodes-", dir=options.build))
cases, lines = list(wanted_cases(taken)), []
for number, case in enumerate(cases):
    model = folder / f"{number}.onnx"
    model.write_bytes(case.model.SerializeToString())
    inputs = []
    if excuse(case) not in ("strings", "sequences"):
        for i, value in enumerate(case.data_sets[0][0]):
            path = folder / f"{number}.in{i}.pb"
            tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value))
            path.write_bytes(tensor.SerializeToString())
            inputs.append(path)
    lines.append((model, folder / f"{number}", inputs))

tap = references.Tap()
table = collections.defaultdict(collections.Counter)
for number, (case, answer) in enumerate(zip(cases, references.run_cases(options.onnx_run, lines))):
    why, detail = excuse(case), ""
    counts = table[operator_of(case, taken)]
    counts["cases"] += 1
    if answer[0] == "ok":
        for output, expected in enumerate(stored_outputs(case)):
            for stage in ("literal", "rewritten"):
                stored = TensorProto.FromString((folder / f"{number}.{stage}.{output}.pb").read_bytes())
                if isinstance(expected, TensorProto):
                    expected = numpy_helper.to_array(expected)
                problem = differs(numpy_helper.to_array(stored), expected, case, stage)
                if problem:
                    detail += f"{stage} graph, output {output}: {problem}\n"
        if int(answer[1]) != len(case.data_sets[0][1]):
            detail += f"{answer[1]} outputs, expected {len(case.data_sets[0][1])}\n"
    else:
        detail = f"{answer[1]}: {answer[3]}\n"
    refused = answer[0] == "error" and answer[1] in ("import", "literal")
    if not detail:
        counts["passed"] += 1
        tap.result(True, case.name)
    elif why and refused:
        counts[why] += 1
        tap.skip(case.name, f"{why}: {detail.strip()}")
    else:
        counts["failed"] += 1
        tap.result(False, case.name, detail)

for counts in table.values():
    counts["excluded"] = sum(counts[kind] for kind in KINDS)
    counts["run"] = counts["passed"] + counts["failed"]
COLUMNS = ("cases", "run", "passed", "failed", "excluded", *KINDS)
total = collections.Counter()
tap.note("".join(f"{name:>10}" for name in COLUMNS) + "  operator")
for operator, counts in sorted(table.items()):
    total.update(counts)
    tap.note("".join(f"{counts[name]:10}" for name in COLUMNS) + f"  {operator}")
tap.note("".join(f"{total[name]:10}" for name in COLUMNS) + "  all")
if not options.only:
    for operator in sorted(taken - set(table)):
        tap.note(f"{operator}: the suite has no case of it")
for operator, counts in sorted(table.items()):
    if counts["excluded"]:
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
        tap.note(f"{operator}: {counts['excluded']} of {counts['cases']} excluded: {kinds}")
for operator, counts in sorted(table.items()):
    possible = counts["cases"] - sum(counts[kind] for kind in OUTSIDE)
    excluded = counts["excluded"] - counts["cases"] + possible
    tap.result(4 * excluded <= possible, f"{operator}: at most a quarter of its cases excluded",
               f"{excluded} of {possible}, {', '.join(OUTSIDE)} not counted" if excluded else "")
if not options.keep:
    shutil.rmtree(folder)
tap.finish()
