#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CUDA kernels read by ld.global.nc what is constant and nothing else (kernels/device.cuh, "loads"). What makes a compiler
use it is __ldg(), a parameter that is const and __restrict__, or asm that says so. The last two stand nowhere; whoever calls
the first, gpudl_load_constant(), gpudl_load_once() or load_constant() is in the table below, with what is read. The check
then finds mistakes that it makes in copies of the sources, each of which reads an activation so."""
import collections
import re

import tree

# (file, what is called, what is read): how many calls. A new one is here because nothing that is queued writes what it
# reads, which the family's header demands of its callers.
CONSTANTS = collections.Counter({
    ("conv_gemm.cuh", "gpudl_load_constant", "p.bias"): 1,
    ("cuda_common.cuh", "gpudl_load_constant", "p"): 4,  # of load_constant()
    ("depthwise.cu", "gpudl_load_constant", "p.bias"): 1,
    ("depthwise.cu", "gpudl_load_constant", "w"): 1,
    ("depthwise.cu", "load_constant", "p.w"): 1,
    ("depthwise_march.cuh", "gpudl_load_constant", "from"): 1,  # of load_constant()
    ("depthwise_march.cuh", "gpudl_load_constant", "p.bias"): 1,
    ("depthwise_march.cuh", "load_constant", "p.w"): 1,
    ("gemv.cu", "gpudl_load_once", "lower"): 1,
    ("gemv.cu", "gpudl_load_once", "upper"): 1,
    ("shuffle.cu", "gpudl_load_constant", "table"): 2,
    ("squeeze.cu", "gpudl_load_constant", "p.bias1"): 1,
    ("squeeze.cu", "gpudl_load_constant", "p.bias2"): 1,
    ("squeeze.cu", "load_constant", "p.w1"): 1,
    # the intrinsic itself, of a convolution's bias
    ("conv_once.cuh", "__ldg", "p.bias"): 1,
    ("mbconv.cu", "__ldg", "bias"): 1,
    ("mbconv.cuh", "__ldg", "job.bias"): 1,
    # where it has its name
    ("device.cuh", "__ldg", "p"): 1,
})
# (file, old words, new words); the old ones are there
MISTAKES = [
    ("cuda_common.cuh", "all = gpudl_load_written(", "all = gpudl_load_constant("),
    ("depthwise.cu", "in.load(p.x", "in.load_constant(p.x"),
    ("depthwise.cu", "v = gpudl_load_written(", "v = __ldg("),
    ("depthwise_march.cuh", "put(gpudl_load_written(", "put(gpudl_load_constant("),
    ("depthwise_march.cuh", "to[s].load(from", "to[s].load_constant(from"),
    ("gemv.cu", "in.load(from", "in.load_constant(from"),
    ("gemv.cu", "gpudl_load_once(upper", "gpudl_load_once(x"),
    ("pool.cu", "in.load(from", "in.load_constant(from"),
    ("pool.cu", "Element *x, const", "Element *__restrict__ x, const"),
    ("mbconv.cuh", "gpudl_load_written(more", "__ldg(more"),
    ("norm.cu", "gpudl_load_written(", "gpudl_load_constant("),
    ("squeeze.cu", "in.load(at", "in.template load_constant(at"),
    ("preproc_words.cuh", "gpudl_load_written(", "gpudl_load_constant<uint4>("),
    ("preproc_points.cu", "GpudlPreprocJob *jobs,", "GpudlPreprocJob *__restrict jobs,"),
    ("device.cuh", '"ld.global.v4.u32', '"ld.global.nc.v4.u32'),
    ("meson.build", "'-O3', '-lineinfo'", "'-O3', '-restrict', '-lineinfo'"),
]

NO_CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.DOTALL)
CALL = re.compile(r"\b(__ldg|gpudl_load_constant|gpudl_load_once|load_constant)\b(?:<[^<>()]*>)?\s*\(")
DECLARED = re.compile(r"\b(?:T|void|uint4) (?:gpudl_)?load_(?:constant|once)\(const ")
CAST = re.compile(r"^(?:\w+_cast<[^<>]*>\(|\([^()]*\*\)|\()\s*")
OTHERS = re.compile(r"\b(?:__restrict__|__restrict|restrict|__nv_ldg\w*|__ldg\w+)\b")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def operand(text):
    """What the pointer, which text begins with, is counted from: "p.bias" of "reinterpret_cast<..>(p.bias + k)"."""
    while CAST.match(text):
        text = CAST.sub("", text, count=1)
    return re.match(r"[\w.\->\[\]]*", text).group()


def find_problems(sources):
    """Of the sources' texts by name."""
    problems, calls = [], collections.Counter()
    for name, whole in sources.items():
        if name == "meson.build":
            if re.search(r"['-]-(?:-?restrict)\b", whole):
                problems.append(f"{name}: nvcc is told to take all pointers for restricted")
            continue
        # comments go, and strings but for whether they are asm of such a load; lines stay
        for found in NO_CODE.finditer(whole):
            if found.group().startswith('"') and re.search(r"\bld\.global\S*\.nc\b|\bldu\.", found.group()):
                problems.append(f"{name}:{line_of(whole, found.start())}: {found.group()}: asm that gpudl_load_constant() is for")
        text = NO_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), whole)
        for found in OTHERS.finditer(text):
            problems.append(f"{name}:{line_of(text, found.start())}: {found.group()}: what is read through it may be taken for "
                            "constant, see kernels/device.cuh")
        declared = {found.end() for found in DECLARED.finditer(text)}
        for found in CALL.finditer(text):
            if any(found.start() < end <= found.end() + len("const ") for end in declared):
                continue
            key = (name, found.group(1), operand(text[found.end():]))
            calls[key] += 1
            if calls[key] > CONSTANTS[key]:
                problems.append(f"{name}:{line_of(text, found.start())}: {key[1]}({key[2]} ..) is not among the loads of constants "
                                "that tests/style/check-loads.py lists")
    for key, n in CONSTANTS.items():
        if calls[key] < n:
            problems.append(f"{key[0]}: {key[1]}({key[2]} ..) is there {calls[key]} times, tests/style/check-loads.py lists {n}")
    return problems


sources = {path.name: tree.text(path) for path in tree.files(".cu", ".cuh", "meson.build", under="kernels/")}
problems = find_problems(sources)
if not problems:
    for name, old, new in MISTAKES:
        if old not in sources.get(name, ""):
            problems.append(f"tests/style/check-loads.py: '{old}' is not in {name}: choose other words for this mistake")
        elif not find_problems({**sources, name: sources[name].replace(old, new, 1)}):
            problems.append(f"tests/style/check-loads.py: '{new}' in {name} is not noticed")
tree.report(problems, len(sources))
