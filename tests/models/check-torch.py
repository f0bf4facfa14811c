#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-torch.py TF-RUN SOURCE

Every operator of the table of PyTorch's: a .pt2 archive of it (pt2file.py) against what PyTorch itself computes; and what has
to be refused. Runs on the system's Python, which has PyTorch.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import references

tf_run, source = sys.argv[1], pathlib.Path(sys.argv[2])
try:
    import torch
except ImportError:
    print("1..0 # SKIP the system's Python has no PyTorch (Debian's python3-torch)")
    sys.exit(0)
from pt2file import Net, sizes

torch.manual_seed(1)
aten = torch.ops.aten
cases = []


def case(name, net, outputs, expected, change=None):
    cases.append((name, net, net.archive(outputs, change), expected))


def normal(*shape):
    return torch.randn(*shape)


def check(target, args, expected=None, n=1, listed=False, outputs=None, shape=None, **given):
    """One operator: tensors among the arguments are weights, but "x" is the input. What comes out is what PyTorch gives."""
    net = Net()
    x = given.get("x", normal(1, 4, 6, 5) if shape is None else normal(*shape))
    named = {k: net.input(x) if isinstance(v, str) and v == "x" else v for k, v in args.items()}
    made = net.op(target, named, n, listed)
    made = [made] if isinstance(made, str) else made
    if expected is None:
        packet, overload = target.split(".")
        function = getattr(getattr(aten, packet), overload)
        schema = function._schema.arguments
        call = {("self" if k not in {a.name for a in schema} else k): x.clone() if isinstance(v, str) and v == "x" else v for k, v in args.items()}
        # by place: Python takes the name self for itself
        expected = function(*[call.pop(a.name, a.default_value) for a in schema if not a.kwarg_only], **call)
    expected = list(expected) if isinstance(expected, (list, tuple)) else [expected]
    which = outputs if outputs is not None else range(len(made))
    # floats all, so that a result that is an input or a flag comes out as well
    ends = [net.op("_to_copy.default", {"self": made[i], "dtype": torch.float32}) for i in which]
    ends = [net.op("neg.default", {"self": k}) for k in ends]
    title = ", ".join(f"{k}={'x' if isinstance(v, str) and v == 'x' else tuple(v.shape) if isinstance(v, torch.Tensor) else v}" for k, v in args.items())
    case(f"{target}({title})"[:150], net, ends, [-expected[i].float() for i in which])


# ---- windows ---------------------------------------------------------------------------------------------------------
for stride, padding, dilation, groups in (([1, 1], [0, 0], [1, 1], 1), ([2, 1], [1, 0], [1, 2], 2), ([3], [1], [1], 4)):
    args = {"input": "x", "weight": normal(8, 4 // groups, 3, 2), "bias": normal(8), "stride": stride, "padding": padding, "dilation": dilation}
    check("conv2d.default", args | {"groups": groups})
    whole = {k: v * 2 if isinstance(v, list) and len(v) == 1 else v for k, v in args.items()}
    check("_convolution.default", whole | {"transposed": False, "output_padding": [0, 0], "groups": groups, "benchmark": False, "deterministic": False,
                                           "cudnn_enabled": True, "allow_tf32": True})
    check("convolution.default", whole | {"transposed": False, "output_padding": [0, 0], "groups": groups})
check("conv2d.default", {"input": "x", "weight": normal(3, 4, 1, 1)})
check("conv2d.padding", {"input": "x", "weight": normal(3, 4, 4, 3), "padding": "same", "dilation": [1, 2]})
check("conv2d.padding", {"input": "x", "weight": normal(3, 4, 4, 3), "padding": "valid"})
check("conv1d.default", {"input": "x", "weight": normal(3, 4, 3), "padding": [1]}, shape=(1, 4, 9))
check("conv3d.default", {"input": "x", "weight": normal(3, 2, 3, 2, 1), "bias": None, "stride": [1, 2, 1]}, shape=(1, 2, 5, 6, 4))
for stride, padding, dilation, more, groups in (([1, 1], [0, 0], [1, 1], [0, 0], 1), ([2, 3], [1, 0], [1, 2], [1, 2], 2), ([3, 1], [2, 3], [2, 2], [0, 1], 4),
                                                ([2, 2], [0, 0], [1, 1], [1, 1], 1), ([1, 1], [2, 1], [1, 1], [0, 0], 2)):
    args = {"input": "x", "weight": normal(4, 3, 3, 2), "bias": normal(3 * groups), "stride": stride, "padding": padding}
    check("conv_transpose2d.input", args | {"output_padding": more, "groups": groups, "dilation": dilation})
    args |= {"dilation": dilation, "transposed": True, "output_padding": more, "groups": groups}
    check("convolution.default", args)
    check("_convolution.default", args | {"bias": None, "benchmark": False, "deterministic": False, "cudnn_enabled": True, "allow_tf32": True})
check("conv_transpose2d.input", {"input": "x", "weight": normal(4, 2, 1, 1)})
check("conv_transpose2d.input", {"input": "x", "weight": normal(4, 1, 2, 3), "stride": [4], "groups": 4, "bias": normal(4)}, shape=(1, 4, 1, 2))
check("conv_transpose1d.default", {"input": "x", "weight": normal(4, 3, 3), "stride": [2], "padding": [1], "output_padding": [1]}, shape=(1, 4, 9))
check("conv_transpose3d.input", {"input": "x", "weight": normal(2, 3, 3, 2, 1), "stride": [1, 2, 3], "padding": [1, 0, 0], "output_padding": [0, 1, 2]}, shape=(1, 2, 3, 4, 2))
for ceil_mode in (False, True):
    for kernel, stride, padding in (([3, 2], [], [0, 0]), ([3, 3], [2, 2], [1, 1]), ([2], [3], [1])):
        args = {"self": "x", "kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        check("max_pool2d.default", args)
        check("max_pool2d_with_indices.default", args, n=2, outputs=[0])
        for count in (False, True):
            check("avg_pool2d.default", args | {"count_include_pad": count})
check("max_pool2d.default", {"self": "x", "kernel_size": [2, 2], "stride": [1, 1], "dilation": [2, 2]})
check("max_pool1d.default", {"self": "x", "kernel_size": [3], "stride": [2], "padding": [1]}, shape=(1, 3, 9))
for size in ([1, 1], [3, 5], [2, 1], [4, 3], [7, 7], [5, 8]):
    check("adaptive_avg_pool2d.default", {"self": "x", "output_size": size})
    check("_adaptive_avg_pool2d.default", {"self": "x", "output_size": size})
check("avg_pool1d.default", {"self": "x", "kernel_size": [3], "stride": [2], "padding": [1], "ceil_mode": True, "count_include_pad": False}, shape=(1, 2, 8))
check("adaptive_avg_pool1d.default", {"self": "x", "output_size": [3]}, shape=(1, 2, 9))
for size in ([1, 1], [3, 5]):
    check("adaptive_max_pool2d.default", {"self": "x", "output_size": size}, n=2, outputs=[0])
for size, corners in (([9, 11], False), ([3, 4], True), ([12, 10], False), ([12, 10], True)):
    check("upsample_bilinear2d.default", {"self": "x", "output_size": size, "align_corners": corners})
    check("upsample_bicubic2d.default", {"self": "x", "output_size": size, "align_corners": corners})
    check("upsample_nearest2d.default", {"self": "x", "output_size": size})
check("upsample_nearest2d.vec", {"input": "x", "output_size": None, "scale_factors": [2.0, 1.5]})
check("upsample_bilinear2d.vec", {"input": "x", "output_size": None, "align_corners": False, "scale_factors": [1.7, 0.6]})
check("upsample_bicubic2d.vec", {"input": "x", "output_size": [7, 7], "align_corners": True, "scale_factors": None})

for size in ([9, 11], [3, 2], [12, 3]):
    check("_upsample_bilinear2d_aa.default", {"self": "x", "output_size": size, "align_corners": False})
    check("_upsample_bicubic2d_aa.default", {"self": "x", "output_size": size, "align_corners": False})
check("_upsample_bilinear2d_aa.vec", {"input": "x", "output_size": None, "align_corners": False, "scale_factors": [1.7, 0.6]})
check("_upsample_bicubic2d_aa.vec", {"input": "x", "output_size": [3, 7], "align_corners": False, "scale_factors": None})

for place, shape in ((torch.zeros(1, 4, 6, 5), (1, 4, 6, 5)), (torch.zeros(1, 4, 6, 5), (1, 4, 1, 5)), (torch.zeros(1, 2, 4, 5), (1, 5)),
                     (torch.zeros(1, 4, dtype=torch.int32), (1, 4))):
    check("copy.default", {"self": place, "src": "x"}, place.clone().copy_(x := 3 * normal(*shape)), x=x)

# ---- read several times ----------------------------------------------------------------------------------------------
for dimension, size, step in ((2, 3, 2), (-1, 2, 1), (1, 4, 1)):
    check("unfold.default", {"self": "x", "dimension": dimension, "size": size, "step": step})
for kernel, dilation, padding, stride in (([2, 3], [1, 1], [0, 0], [2, 3]), ([3, 2], [1, 2], [1, 0], [2, 1]), ([1, 1], [1, 1], [0, 0], [1, 1]),
                                          ([2, 2], [1, 1], [0, 1], [2, 2]), ([2, 1], [3, 1], [2, 0], [1, 3])):
    windows = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    check("im2col.default", {"self": "x"} | windows, shape=(1, 3, 6, 9))
    folded = aten.im2col(normal(1, 3, 6, 9), *windows.values())
    check("col2im.default", {"self": "x", "output_size": [6, 9]} | windows, x=folded)
for order in ("ij", "xy"):
    for vectors in ([normal(3)], [normal(3), normal(2)], [normal(2), torch.tensor(1.5), normal(4)]):
        net = Net()
        net.input(normal(1, 4))
        made = net.op("meshgrid.indexing", {"tensors": vectors, "indexing": order}, len(vectors), True)
        case(f"meshgrid.indexing({len(vectors)}, {order})", net, [net.op("mul.Tensor", {"self": net.op("sum.default", {"self": "x0"}), "other": k}) for k in made],
             [net.inputs[0].sum() * k for k in torch.meshgrid(*vectors, indexing=order)])
net, (a, b) = Net(), (normal(2), normal(3))
made = net.op("meshgrid.default", {"tensors": [a, b]}, 2, True)
case("meshgrid.default", net, [net.op("add.Tensor", {"self": net.input(normal(1, 1) * 0), "other": made[0]}), net.op("mul.Tensor", {"self": "x0", "other": made[1]})],
     [torch.meshgrid(a, b, indexing="ij")[0], torch.zeros(2, 3)])
check("repeat_interleave.self_int", {"self": "x", "repeats": 3, "dim": 2})
check("repeat_interleave.self_int", {"self": "x", "repeats": 2, "dim": None})
check("repeat.default", {"self": "x", "repeats": [1, 2, 1, 3]})
check("repeat.default", {"self": "x", "repeats": [2, 1, 1, 1, 2]})
check("tile.default", {"self": "x", "dims": [2, 3]})
check("tile.default", {"self": "x", "dims": [2, 1, 1, 1, 3]})
for dims in ([2], [-1, 1], []):
    check("flip.default", {"self": "x", "dims": dims})


def tables(target, arguments, expected):
    """What is made of weights, added to the input."""
    net, x = Net(), normal(1, 4)
    made = net.op(target, arguments)
    made = net.op("_to_copy.default", {"self": made, "dtype": torch.float32})
    case(f"{target} of weights", net, [net.op("add.Tensor", {"self": made, "other": net.input(x)})], [expected.float() + x])


whole = torch.arange(12).reshape(3, 4)
tables("sin.default", {"self": whole * .7}, torch.sin(whole * .7))
tables("cos.default", {"self": whole}, torch.cos(whole))
for values, dim in ((whole, 0), (whole * .3, -1), (whole > 3, 1)):
    tables("cumsum.default", {"self": values, "dim": dim}, torch.cumsum(values, dim))
tables("cumsum.default", {"self": whole, "dim": 0, "dtype": torch.float32}, torch.cumsum(whole, 0))
tables("cumsum.default", {"self": whole * .7, "dim": 0, "dtype": torch.int64}, torch.cumsum(whole * .7, 0, dtype=torch.int64))
tables("eye.default", {"n": 4}, torch.eye(4))
tables("eye.m", {"n": 3, "m": 4, "dtype": torch.int64}, torch.eye(3, 4))

for target in ("addcmul.default", "addcdiv.default"):
    check(target, {"self": "x", "tensor1": normal(6, 5), "tensor2": normal(4, 1, 1) + 3, "value": 0.5})
    check(target, {"self": normal(4, 1, 1), "tensor1": "x", "tensor2": normal(6, 1) + 3})
    check(target, {"self": torch.arange(4)[:, None, None], "tensor1": "x", "tensor2": torch.arange(6)[:, None] + 3, "value": 2})
check("addcmul.default", {"self": "x", "tensor1": torch.arange(5) - 2, "tensor2": torch.arange(6)[:, None], "value": 0.5})
for target in ("reshape_as.default", "view_as.default"):
    check(target, {"self": "x", "other": normal(1, 2, 10, 6)})

# ---- norms and products ----------------------------------------------------------------------------------------------
for affine in (True, False):
    four = [normal(4) if affine else None, normal(4) if affine else None, normal(4), torch.rand(4) + 0.5]
    norm = dict(zip(("weight", "bias", "running_mean", "running_var"), four))
    check("batch_norm.default", {"input": "x", **norm, "training": False, "momentum": 0.1, "eps": 0.01, "cudnn_enabled": True})
# standardised weights: a norm of what depends on nothing
for running in (True, False):
    weights, scale = normal(1, 6, 8), normal(6)
    run = [torch.zeros(6), torch.ones(6)] if running else [None, None]
    net, x = Net(), normal(1, 2, 3, 3)
    names = dict(zip(("input", "weight", "bias", "running_mean", "running_var"), (weights, scale, None, *run)))
    made = net.op("batch_norm.default", names | {"training": True, "momentum": 0.0, "eps": 1e-5, "cudnn_enabled": True})
    kernel = net.op("view.default", {"self": made, "size": [6, 2, 2, 2]})
    out = net.op("conv2d.default", {"input": net.input(x), "weight": kernel})
    expected = aten.conv2d.default(x, aten.batch_norm.default(weights.clone(), scale, None, *run, True, 0.0, 1e-5, False).view(6, 2, 2, 2))
    case(f"standardised weights, running statistics {running}", net, [out], [expected])
x = normal(1, 4, 3, 3)
want = aten.batch_norm.default(x, *four, False, 0.1, 0.01, False)
check("_native_batch_norm_legit_no_training.default", {"input": "x", **norm, "momentum": 0.1, "eps": 0.01}, [want, None, None], 3, outputs=[0], x=x)
for shape, given in (([5], True), ([6, 5], False), ([4, 6, 5], True)):
    args = {"input": "x", "normalized_shape": shape, "weight": normal(*shape) if given else None, "bias": normal(*shape), "eps": 0.01}
    check("layer_norm.default", args)
    check("native_layer_norm.default", args, n=3, outputs=[0])
check("layer_norm.default", {"input": "x", "normalized_shape": [5]})
x = normal(1, 4, 6, 5)  # the system's PyTorch may be older than this operator
for n, weight, eps in ((1, normal(5), 0.01), (2, None, None), (2, normal(6, 5), 1e-5)):
    want = x / torch.sqrt((x * x).mean(list(range(4 - n, 4)), keepdim=True) + (eps or torch.finfo(torch.float32).eps))
    args = {"input": "x", "normalized_shape": list(x.shape[4 - n:]), "weight": weight, "eps": eps}
    check("rms_norm.default", args, [want if weight is None else want * weight], x=x)
for groups in (1, 2, 4):
    check("group_norm.default", {"input": "x", "num_groups": groups, "weight": normal(4), "bias": normal(4), "eps": 0.01})
check("native_group_norm.default", {"input": "x", "weight": normal(4), "bias": None, "N": 1, "C": 4, "HxW": 30, "group": 2, "eps": 0.01}, n=3, outputs=[0])
check("instance_norm.default", {"input": "x", "weight": None, "bias": normal(4), "running_mean": None, "running_var": None, "use_input_stats": True,
                                "momentum": 0.1, "eps": 0.01, "cudnn_enabled": False})
check("linear.default", {"input": "x", "weight": normal(3, 5), "bias": normal(3)}, shape=(1, 5))
check("linear.default", {"input": "x", "weight": normal(3, 5)})
check("linear.default", {"input": "x", "weight": normal(3, 5), "bias": normal(3)})
check("addmm.default", {"self": normal(3), "mat1": "x", "mat2": normal(5, 3), "beta": 0.5, "alpha": 2}, shape=(1, 5))
check("mm.default", {"self": "x", "mat2": normal(5, 3)}, shape=(1, 5))
check("bmm.default", {"self": "x", "mat2": normal(2, 5, 3)}, shape=(2, 4, 5))
check("matmul.default", {"self": "x", "other": normal(5, 3)})
for scale, mask in ((None, None), (0.3, normal(6, 6))):
    x, k, v = normal(1, 2, 6, 4), normal(1, 2, 6, 4), normal(1, 2, 6, 3)
    want = torch.softmax(x @ k.transpose(-1, -2) * (scale or 0.5) + (0 if mask is None else mask), -1) @ v
    check("scaled_dot_product_attention.default", {"query": "x", "key": k, "value": v, "attn_mask": mask, "dropout_p": 0.0, "scale": scale}, want, x=x)

x = normal(1, 6, 8)
heads = {"embed_dim": 8, "num_head": 2, "qkv_weight": normal(24, 8), "qkv_bias": normal(24), "proj_weight": normal(8, 8), "proj_bias": normal(8)}
want = aten._native_multi_head_attention.default(x, x, x, *heads.values())
for mask in (None, torch.ones(6, 6)):
    net = Net()
    i = net.input(x)
    made = net.op("_native_multi_head_attention.default", {"query": i, "key": i, "value": i, **heads, "mask": mask, "need_weights": False}, 2)
    case(f"_native_multi_head_attention {'with a mask' if mask is not None else ''}", net, made[:1], [want[0]] if mask is None else r"its mask is a tensor; only None")
for equation, shapes in (
        ("bid,bjd->bij", ((1, 3, 4), (1, 5, 4))), ("B G H I D, B G H J D -> B G H I J", ((1, 2, 3, 4, 5), (1, 2, 3, 6, 5))),
        ("bij,bjk->kbi", ((1, 2, 3), (1, 3, 4))), ("bij,jk->bik", ((1, 2, 3), (3, 4))), ("byhwc,hkc->byhwk", ((1, 2, 3, 4, 5), (3, 6, 5))),
        ("byhwc,wkc->byhwk", ((1, 2, 3, 4, 5), (4, 6, 5))), ("bij,bij->bij", ((1, 2, 3), (1, 2, 3))), ("bij,kij->bk", ((1, 2, 3), (4, 2, 3))),
        ("bi,j->bij", ((1, 2), (3,))), ("bij,bij->b", ((1, 2, 3), (1, 2, 3))), ("bchw,cdhk->bdkw", ((1, 2, 3, 4), (2, 5, 3, 6)))):
    net, a, b = Net(), normal(*shapes[0]), normal(*shapes[1])
    y = net.op("einsum.default", {"equation": equation, "tensors": [net.input(a), b]})
    case("einsum " + equation, net, [y], [torch.einsum(equation, a, b)])
for equation in ("bij,bj->b", "bij,bij->bk", "bii,bij->bij", "...ij,...jk->...ik", "bij->bji"):
    net = Net()
    y = net.op("einsum.default", {"equation": equation, "tensors": [net.input(normal(1, 2, 2)), normal(1, 2, 2)]})
    case("einsum refused: " + equation, net, [y], r"\(aten.einsum.default\): an equation (that is no product|of other than two)")

# ---- element by element ----------------------------------------------------------------------------------------------
for name in ("relu relu_ relu6 sigmoid sigmoid_ tanh hardswish hardswish_ hardsigmoid silu silu_ mish selu abs neg exp erf floor ceil round square elu "
             "celu leaky_relu leaky_relu_ gelu softplus reciprocal hardtanh hardtanh_").split():
    check(name + ".default", {"self": "x"}, x=normal(1, 4, 6, 5) * 4 + 0.25)
for name in ("sqrt", "rsqrt", "log"):
    check(name + ".default", {"self": "x"}, x=torch.rand(1, 3, 4) + 0.1)
check("gelu.default", {"self": "x", "approximate": "tanh"})
check("leaky_relu.default", {"self": "x", "negative_slope": 0.3})
check("elu.default", {"self": "x", "alpha": 0.7, "scale": 1.5})
check("celu.default", {"self": "x", "alpha": 0.7})
check("softplus.default", {"self": "x", "beta": 2.0}, x=normal(1, 4, 6) * 20)
check("hardtanh.default", {"self": "x", "min_val": -0.3, "max_val": 0.6})
check("clamp.default", {"self": "x", "min": -0.3, "max": 0.6})
check("clamp.default", {"self": "x", "min": None, "max": 0.6})
check("clamp_min.default", {"self": "x", "min": 0.1})
check("clamp_max.default", {"self": "x", "max": 0.1})
check("prelu.default", {"self": "x", "weight": normal(4)})
check("prelu.default", {"self": "x", "weight": normal(1)})
check("pow.Tensor_Scalar", {"self": "x", "exponent": 2})
check("pow.Tensor_Tensor", {"self": "x", "exponent": normal(5)}, x=torch.rand(1, 4, 5) + 0.1)
for name in ("add", "sub"):
    check(name + ".Tensor", {"self": "x", "other": normal(4, 1, 5), "alpha": 2})
    check(name + ".Tensor", {"self": "x", "other": 3}, -3 * (1 if name == "sub" else -1) + (x := normal(1, 3, 4)), x=x)
    check(name + "_.Tensor", {"self": "x", "other": normal(4, 1, 5)})
check("rsub.Scalar", {"self": "x", "other": 2.5, "alpha": 2})
check("mul.Tensor", {"self": "x", "other": torch.tensor(3.0, dtype=torch.float64)})
check("mul.Tensor", {"self": "x", "other": torch.tensor([1, 2, 3, 4, 5])})
check("mul.Scalar", {"self": "x", "other": 0.5})
check("div.Tensor", {"self": "x", "other": torch.rand(5) + 0.5})
check("div.Tensor_mode", {"self": "x", "other": torch.rand(5) + 0.5, "rounding_mode": "floor"})
check("floor_divide.default", {"self": "x", "other": torch.rand(5) + 0.5})
for name in ("maximum", "minimum"):
    check(name + ".default", {"self": "x", "other": normal(5)})
for name in ("max", "min"):
    check(name + ".other", {"self": "x", "other": normal(5)})
    check(name + ".dim", {"self": "x", "dim": 1, "keepdim": True}, n=2, outputs=[0])
for name in "eq ne lt le gt ge".split():
    check(name + ".Scalar", {"self": "x", "other": 0.5}, x=torch.tensor([[0.5, 1, -1]]))
    check(name + ".Tensor", {"self": "x", "other": torch.tensor([0.5, 1, 1])}, x=torch.tensor([[0.5, 1, -1]]))
mask = torch.tensor([[True, False, True, True, False]])
check("masked_fill.Scalar", {"self": "x", "mask": mask, "value": -2.5})
check("masked_fill.Tensor", {"self": "x", "mask": mask, "value": torch.tensor(1.5)})
check("where.self", {"condition": mask, "self": "x", "other": normal(5)})
for name in ("bitwise_not", "logical_not"):
    net, x = Net(), normal(1, 5)
    positive = net.op("gt.Scalar", {"self": net.input(x), "other": 0})
    case(name, net, [net.op("_to_copy.default", {"self": net.op(name + ".default", {"self": positive}), "dtype": torch.float32})], [(x <= 0).float()])

# ---- along axes ------------------------------------------------------------------------------------------------------
for dim in (1, -1):
    check("softmax.int", {"self": "x", "dim": dim})
    check("_softmax.default", {"self": "x", "dim": dim, "half_to_float": False})
    check("log_softmax.int", {"self": "x", "dim": dim, "dtype": torch.float32})
    check("_log_softmax.default", {"self": "x", "dim": dim, "half_to_float": False})
for dim in ([1], [2, -1]):
    for keep in (False, True):
        for name in ("mean.dim", "sum.dim_IntList", "amax.default", "amin.default"):
            check(name, {"self": "x", "dim": dim, "keepdim": keep})
        for correction in (0, 1):
            args = {"self": "x", "dim": dim, "correction": correction, "keepdim": keep}
            x = normal(1, 4, 6, 5)
            plain = {"unbiased": bool(correction), "keepdim": keep}
            check("var.correction", args, torch.var(x, dim, **plain), x=x)
            check("std.correction", args, torch.std(x, dim, **plain), x=x)
            check("var_mean.correction", args, torch.var_mean(x, dim, **plain), 2, x=x)
        x = normal(1, 4, 6, 5)
        check("linalg_vector_norm.default", {"self": "x", "ord": 2, "dim": dim, "keepdim": keep})
        check("norm.ScalarOpt_dim", {"self": "x", "p": 1, "dim": dim, "keepdim": keep})
check("sum.default", {"self": "x"}, x=normal(1, 7))

for target, args, n in (("argmax.default", {"dim": -1}, 1), ("topk.default", {"k": 2}, 2)):
    net, x = Net(), normal(1, 7)
    scores = net.op("neg.default", {"self": net.input(x)})
    made = net.op(target, {"self": scores, **args}, n)
    case(target + " gives the scores", net, [made] if n == 1 else made, [-x])
for name in ("any.dim", "all.dim"):
    check(name, {"self": "x", "dim": 1, "keepdim": False}, x=torch.tensor([[[0., 1, 2], [0, 0, -1]]]))

for name in ("var", "std"):
    check(name + ".dim", {"self": "x", "dim": [2, 3], "unbiased": False, "keepdim": True})
check("var_mean.dim", {"self": "x", "dim": [2], "unbiased": True}, n=2)
check("remainder.Scalar", {"self": "x", "other": 0.7})
check("fmod.Scalar", {"self": "x", "other": 0.7})

# ---- shapes ----------------------------------------------------------------------------------------------------------
for name, args in (("view", {"size": [1, 2, 2, 30]}), ("view", {"size": [1, -1]}), ("reshape", {"shape": [4, 30]}), ("_unsafe_view", {"size": [1, 120]}),
                   ("flatten.using_ints", {"start_dim": 1}), ("flatten.using_ints", {"start_dim": 1, "end_dim": 2}), ("permute", {"dims": [0, 2, 3, 1]}),
                   ("transpose.int", {"dim0": 1, "dim1": -1}), ("swapaxes", {"axis0": 1, "axis1": -1}), ("swapdims", {"dim0": 1, "dim1": -1}), ("unsqueeze", {"dim": -1}), ("unsqueeze", {"dim": 1}), ("contiguous", {}), ("clone", {}),
                   ("alias", {}), ("detach", {}), ("expand", {"size": [3, -1, 4, 6, 5]}), ("expand_as", {"other": normal(2, 4, 6, 5)}),
                   ("channel_shuffle", {"groups": 2}), ("chunk", {"chunks": 3, "dim": 2}), ("split.Tensor", {"split_size": 4, "dim": 2}),
                   ("split_with_sizes", {"split_sizes": [1, 3, 2], "dim": 2}), ("unbind.int", {"dim": 1}), ("select.int", {"dim": 2, "index": -2}),
                   ("slice.Tensor", {"dim": 2, "start": 1, "end": 5, "step": 2}), ("slice.Tensor", {"dim": 3, "start": -3, "end": 9223372036854775807}),
                   ("slice.Tensor", {"dim": 0}), ("narrow", {"dim": 3, "start": -4, "length": 2}), ("roll", {"shifts": [2, -1], "dims": [2, 3]}),
                   ("index_select", {"dim": 2, "index": torch.tensor([3, 0, 3])}), ("constant_pad_nd", {"pad": [1, 2, -1, 0], "value": 1.5}),
                   ("pad", {"pad": [1, 2, 3, 1], "mode": "reflect"}), ("pad", {"pad": [1, 0], "mode": "constant", "value": 2.0}),
                   ("pad", {"pad": [1, 2, 3, 1], "mode": "replicate"}), ("pad", {"pad": [1, 2, 3, 1], "mode": "circular"}),
                   ("reflection_pad2d", {"padding": [1, 2, 3, 1]}), ("replication_pad2d", {"padding": [1, 2, 3, 1]}),
                   ("_to_copy", {"dtype": torch.float64}), ("to.dtype", {"dtype": torch.int32})):
    target = name if "." in name else name + ".default"
    x = normal(1, 4, 6, 5)
    packet, overload = target.split(".")
    want = getattr(getattr(aten, packet), overload)(x, **args) if packet not in ("_to_copy", "to") else x.to(args["dtype"])
    n = len(want) if isinstance(want, (list, tuple)) else 1
    check(target, {"self": "x", **args}, want, n, n > 1, x=x)
check("squeeze.default", {"self": "x"}, shape=(1, 3, 1, 2))
check("squeeze.dim", {"self": "x", "dim": 1}, shape=(1, 3, 1, 2))
check("squeeze.dims", {"self": "x", "dim": [2, -3]}, (x := normal(1, 3, 1, 2)).squeeze(2), x=x)
check("t.default", {"self": "x"}, shape=(2, 3))
check("unflatten.int", {"self": "x", "dim": 1, "sizes": [2, -1]}, (x := normal(1, 6, 2)).reshape(1, 2, 3, 2), x=x)
check("pixel_shuffle.default", {"self": "x", "upscale_factor": 2})
check("pixel_unshuffle.default", {"self": "x", "downscale_factor": 3}, shape=(1, 2, 6, 3))
check("as_strided.default", {"self": "x", "size": [1, 7], "stride": [7, 1]}, (x := normal(1, 7, 1, 1)).reshape(1, 7), x=x)
check("lift_fresh_copy.default", {"self": "x"}, (x := normal(1, 3)), x=x)
check("type_as.default", {"self": "x", "other": torch.tensor([1])}, (x := normal(1, 3) * 9).to(torch.int64), x=x)
check("to.other", {"self": "x", "other": torch.tensor([1])}, (x := normal(1, 3) * 9).to(torch.int64), x=x)
check("to.device", {"self": "x", "device": {"as_device": {"type": "cpu", "index": None}}, "dtype": torch.int32}, (x := normal(1, 3) * 9).to(torch.int32), x=x)
for name in ("dropout", "dropout_", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout"):
    x = normal(1, 5)
    check(name + ".default", {"self" if name[-1] == "_" else "input": "x", "p": 0.5, "train": False}, x, x=x)
for name, operator in (("cat", torch.cat), ("concat", torch.cat), ("stack", torch.stack)):
    net, a, b = Net(), normal(1, 2, 3), normal(1, 2, 3)
    case(name, net, [net.op(name + ".default", {"tensors": [net.input(a), b], "dim": -2})], [operator([a, b], -2)])
net, a = Net(), normal(1, 6, 3)
table = torch.tensor([[5, 0], [1, -1]])
case("index.Tensor", net, [net.op("index.Tensor", {"self": net.input(a), "indices": [None, table]})], [a[:, table]])
check("index.Tensor", {"self": "x", "indices": [torch.tensor([0])]}, (x := normal(1, 6)), x=x)
i, j = torch.tensor([[2, -1, 0], [1, 1, 3]]), torch.tensor([4, 0, -5])
for indices in ([None, None, i, j], [None, i, j], [None, i, torch.tensor(-6), j], [None, j.int() % 4, i]):
    net, a = Net(), normal(1, 4, 6, 5)
    case("index.Tensor of several", net, [net.op("index.Tensor", {"self": net.input(a), "indices": indices})],
         [aten.index(a, [k if k is None else k.long() for k in indices])])

# ---- of numbers alone ------------------------------------------------------------------------------------------------
for target, args, want in (("arange.default", {"end": 5}, torch.arange(5)), ("arange.start", {"start": 2, "end": 7}, torch.arange(2, 7)),
                           ("arange.start_step", {"start": 0, "end": 1, "step": 0.2}, torch.arange(0, 1, 0.2)), ("full.default", {"size": [1, 5], "fill_value": 2.5}, torch.full((1, 5), 2.5)),
                           ("ones.default", {"size": [5]}, torch.ones(5)), ("zeros.default", {"size": [5], "dtype": torch.int64}, torch.zeros(5)),
                           ("scalar_tensor.default", {"s": 3}, torch.tensor(3))):
    net, x = Net(), normal(1, 5)
    case(target, net, [net.op("add.Tensor", {"self": net.input(x), "other": net.op(target, args)})], [x + want])
for start, end in ((1, 3), (0, 2), (-2, 9223372036854775807)):
    x = normal(1, 4, 6, 5)
    src = normal(1, 4, len(range(6)[start:end]), 5)
    check("slice_scatter.default", {"self": "x", "src": src, "dim": 2, "start": start, "end": end}, x=x)
for target, args, value in (("new_zeros.default", {"size": [5]}, 0), ("new_ones.default", {"size": [5]}, 1), ("new_full.default", {"size": [5], "fill_value": 2.5}, 2.5),
                            ("fill.Scalar", {"value": 3}, 3), ("zero.default", {}, 0)):
    net, x = Net(), normal(1, 5)
    i = net.input(x)
    case(target, net, [net.op("add.Tensor", {"self": i, "other": net.op(target, {"self": i, **args})})], [x + value])
for name, value in (("full_like", 2.5), ("ones_like", 1), ("zeros_like", 0)):
    net, x = Net(), normal(1, 5)
    i = net.input(x)
    case(name, net, [net.op("add.Tensor", {"self": i, "other": net.op(name + ".default", {"self": i} | ({"fill_value": value} if name[0] == "f" else {}))})], [x + value])
net, x = Net(), normal(1, 4, 6)
i = net.input(x, [{"as_expr": {"expr_str": "s0", "hint": {"as_int": 2}}}, {"as_int": 4}, {"as_int": 6}])
batch, n = net.number("sym_size.int", {"self": i, "dim": 0}), net.number("size.int", {"self": i, "dim": -1})
for name, b in (("_operator.mul", 4), ("_operator.add", 6), ("_operator.sub", 2), ("_operator.floordiv", 1), ("floordiv.int", 2), ("_operator.mod", 9)):
    n = net.number(name, {"a": n, "b": b})  # ((((6 * 4) + 6) - 2) // 2) % 9 = 5
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    net.number("_operator." + name, {"a": n, "b": 5})
net.nodes.append({"target": "torch.ops.aten._assert_scalar.default", "outputs": [],
                  "inputs": [{"name": "self", "arg": {"as_sym_bool": {"as_name": net.nodes[-1]["name"]}}, "kind": 1}, {"name": "assert_msg", "arg": {"as_string": "?"}, "kind": 1}]})
net.ops.add("_assert_scalar.default")
rows = net.op("narrow.default", {"self": i, "dim": -1, "start": 0, "length": n})
case("numbers of shapes", net, [net.op("view.default", {"self": rows, "size": {"as_sym_ints": [batch["as_sym_int"], {"as_int": -1}]}})], [x[..., :5].reshape(1, -1)])
net, x = Net(), normal(1, 4)
i = net.input(x)
for target, args in (("_assert_tensor_metadata.default", {"a": i}), ("sym_constrain_range_for_size.default", {"size": 1, "min": 0}), ("_assert_async.msg", {"self": i, "assert_msg": "?"})):
    net.op(target, args)
    net.nodes[-1]["outputs"] = []
half = net.number("_operator.truediv", {"a": 1, "b": 2})
case("guards are passed over", net, [net.op("mul.Tensor", {"self": i, "other": half})], [x / 2])
net = Net()
pieces = net.op("chunk.default", {"self": net.input(x), "chunks": 2, "dim": 1}, 2, True)
net.nodes[-1]["outputs"] = [{"as_tensors": [{"name": "n0_0"}, {"name": "n0_1"}]}]
last = net.op("_operator.getitem", {"a": pieces, "b": -1})
case("a list's parts", net, [net.op("sub.Tensor", {"self": last, "other": pieces[0]})], [x[:, 2:] - x[:, :2]])
net = Net()
both = net.op("max.dim", {"self": net.input(x), "dim": 1}, 2)
case("a result that nobody computes can be left alone", net, [both[0]], [x.max(1)[0]])

# ---- values in place -------------------------------------------------------------------------------------------------
net, x = Net(), normal(1, 4)
i = net.input(x)
y = net.op("add.Tensor", {"self": i, "other": 1})
net.op("mul_.Tensor", {"self": y, "other": 3})
case("what was changed in place reads as changed", net, [net.op("neg.default", {"self": y})], [-3 * (x + 1)])
net, picture = Net(), normal(1, 4, 6, 5)
y = net.op("add.Tensor", {"self": net.input(picture), "other": 1})
net.op("copy_.default", {"self": y, "src": net.op("sum.dim_IntList", {"self": "x0", "dim": [1], "keepdim": True})})
case("what was copied in place", net, [net.op("neg.default", {"self": y})], [-picture.sum(1, True).expand(1, 4, 6, 5)])
net = Net()
y = net.op("add.Tensor", {"self": net.input(x), "other": 1})
part = net.op("slice.Tensor", {"self": y, "dim": 1, "start": 2})
net.op("relu_.default", {"self": part})
case("a view of what was changed in place", net, [net.op("neg.default", {"self": y})], r"node 'n3' \(aten.neg.default\): .*node 'n2' changes in place.*run_decompositions")

net = Net()
y = net.op("add.Tensor", {"self": net.input(x), "other": 1})
net.op("relu_.default", {"self": net.op("slice.Tensor", {"self": y, "dim": 1, "start": 2})})
case("an output that was changed in place", net, [y], r"output 'n0' is overwritten in place")
net = Net()
best = net.op("argmax.default", {"self": net.input(x), "dim": 1})
case("what is computed of the best class", net, [net.op("neg.default", {"self": best})], r"its self is a result that is not computed here")

# ---- weights ---------------------------------------------------------------------------------------------------------
for name, w in (("turned", normal(5, 3).t()), ("a part of a larger one", normal(4, 7)[1:4, 1:6]), ("channels last", normal(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)),
                ("repeated", normal(1, 5).expand(3, 5)), ("float16", normal(3, 5).half()), ("bfloat16", normal(3, 5).bfloat16()), ("float64", normal(3, 5).double()),
                ("int32", torch.arange(5, dtype=torch.int32)), ("uint8", torch.arange(5, dtype=torch.uint8)), ("a scalar", torch.tensor(2.5))):
    net, x = Net(), normal(1, *w.shape)
    y = net.op("add.Tensor", {"self": net.input(x), "other": w})
    case("weights: " + name, net, [net.op("_to_copy.default", {"self": y, "dtype": torch.float32})], [x + w.float()])

# ---- refused ---------------------------------------------------------------------------------------------------------


def region(said, operands, build):
    """A region round what build(inner net, names) makes; its names are those outside, which are not meant."""
    inner, names = Net(), [f"x{i}" for i in range(len(operands))]
    outputs = build(inner, names)
    graph = {"inputs": [{"as_tensor": {"name": k}} for k in names], "outputs": [{"as_tensor": {"name": k}} for k in outputs], "nodes": inner.nodes,
             "tensor_values": {}}
    return {None: said[0]} | {f"{i}": v for i, v in enumerate([*said[1:], {"as_graph": {"name": "submod_1", "graph": graph}}, *operands])}


def check_region(name, target, said, build, expected, n=1, listed=False):
    """expected: of x and x + 1; or what it is refused with."""
    net, x = Net(), normal(1, 4, 6, 5)
    a = net.input(x)
    b = net.op("add.Tensor", {"self": a, "other": 1})
    made = net.op(target, region(said, [b, a], build), n, listed)
    net.nodes[-1]["target"] = "torch.ops.higher_order." + target
    for k in net.nodes[-1]["inputs"]:
        k["name"] = ""
    made = [made] if isinstance(made, str) else made
    case(name, net, [net.op("neg.default", {"self": k}) for k in made], expected if isinstance(expected, str) else [-v for v in expected(x, x + 1)])


def differ(inner, names):
    return [inner.op("sub.Tensor", {"self": inner.op("mul.Tensor", {"self": names[0], "other": 2}), "other": names[1]})]


def nested(inner, names):
    made = inner.op("wrap", region([False], names, differ))
    inner.nodes[-1]["target"] = "torch.ops.higher_order.wrap_with_set_grad_enabled"
    for k in inner.nodes[-1]["inputs"]:
        k["name"] = ""
    return [made, inner.op("relu.default", {"self": names[1]})]


autocast = ["cpu", torch.bfloat16, False, False]
check_region("a region without autocast", "wrap_with_autocast", autocast, differ, lambda x, y: [2 * y - x])
check_region("a region without autocast, its results in a list", "wrap_with_autocast", autocast, differ, lambda x, y: [2 * y - x], listed=True)
check_region("a region without gradients", "wrap_with_set_grad_enabled", [False], differ, lambda x, y: [2 * y - x])
check_region("a region in a region", "wrap_with_autocast", autocast, nested, lambda x, y: [2 * y - x, x.relu()], n=2)
check_region("refused: a region with autocast", "wrap_with_autocast", ["cpu", torch.bfloat16, True, False], differ,
             r"node 'n1' \(higher_order.wrap_with_autocast\): torch.autocast computes in another type")
check_region("refused: a region that reads what is outside", "wrap_with_autocast", autocast,
             lambda inner, names: [inner.op("neg.default", {"self": "n9"})], r"node 'n1/n0' \(aten.neg.default\): 'n9' is read before it is made")


def refused(name, target, args, expected, n=1, **given):
    net, x = Net(), given.get("x", normal(1, 4, 6, 5))
    args = {k: net.input(x) if isinstance(v, str) and v == "x" else v for k, v in args.items()}
    made = net.op(target, args, n)
    case("refused: " + name, net, [made if n == 1 else made[given.get("read", 0)]], expected, given.get("change"))


norm = dict(zip(("input", "weight", "bias", "running_mean", "running_var"), ("x", *[torch.ones(4)] * 4)))
refused("an operator that is not taken", "fft_fft.default", {"self": "x"}, r"node 'n0' \(aten.fft_fft.default\): this operator is not taken.*dynamo=True")
refused("another library's operator", "x.y", {"self": "x"}, r"node 'n0' \(aten.x.y\): this operator is not taken")
refused("training", "batch_norm.default", norm | {"training": True}, r"\(aten.batch_norm.default\): .*model.eval\(\) before")
refused("a sine of the input", "sin.default", {"self": "x"}, r"\(aten.sin.default\): it depends on the network's input; this operator")
refused("more than its place", "copy.default", {"self": "x", "src": torch.ones(1, 4, 1, 3)}, r"what is copied does not fit in its place")
refused("more dimensions than its place", "copy.default", {"self": "x", "src": torch.ones(1, 1, 4, 1, 1)}, r"what is copied does not fit in its place")
refused("no windows", "im2col.default", {"self": "x", "kernel_size": [2, 9], "dilation": [1, 1], "padding": [0, 1], "stride": [1, 1]},
        r"windows of 9 by 1 with a padding of 1 along a dimension of 5")
refused("no vectors", "meshgrid.default", {"tensors": [torch.ones(2, 3)]}, r"a tensor of rank 2 and 6 elements, expected a vector")
refused("a stride of 0", "im2col.default", {"self": "x", "kernel_size": [2, 2], "dilation": [1, 1], "padding": [0, 0], "stride": [0, 1]}, r"windows of 2 by 0")
refused("windows beyond counting", "im2col.default", {"self": "x", "kernel_size": [2**62, 2], "dilation": [2**62, 1], "padding": [0, 0],
                                                     "stride": [1, 1]}, r"windows of 4611686018427387904 by 1 with")
refused("other windows", "col2im.default", {"self": "x", "output_size": [6, 5], "kernel_size": [2, 2], "dilation": [1, 1], "padding": [0, 0],
                                            "stride": [2, 1]}, r"12 windows of 4 elements of each channel are no such input", x=normal(1, 8, 11))
refused("an index beyond the end", "index.Tensor", {"self": "x", "indices": [None, torch.tensor([4]), torch.tensor([0])]}, r"index 4 of a dimension of 4")
refused("indices apart", "index.Tensor", {"self": "x", "indices": [None, torch.tensor([1]), None, torch.tensor([0])]}, r"a dimension between them")
refused("indices of other shapes", "index.Tensor", {"self": "x", "indices": [None, torch.tensor([1, 2]), torch.tensor([0, 1, 2])]}, r"don't go together")
refused("windows beyond the end", "unfold.default", {"self": "x", "dimension": 2, "size": 7, "step": 1}, r"windows of 7 by 1 along a dimension of 6")
for target in ("sin.default", "cumsum.default"):
    for title, size, expected in (("more than is computed", [20000000], r"more numbers of nothing"), ("no", [3, 0], r"an empty tensor")):
        net = Net()
        net.input(normal(1, 4))
        net.op(target, {"self": net.op("zeros.default", {"size": size})} | ({"dim": 0} if target[0] == "c" else {}))
        case(f"refused: {title} elements, {target}", net, ["n1"], rf"\(aten.{target}\): {expected}")
refused("too few repeats", "repeat.default", {"self": "x", "repeats": [2, 2]}, r"2 repeats for a tensor of rank 4")
refused("too many indices", "repeat_interleave.self_int", {"self": "x", "repeats": 1 << 24, "dim": 2}, r"a result of 100663296 by 1 along its dimension, at least 1 and")
refused("no repeats", "repeat_interleave.self_int", {"self": "x", "repeats": 0, "dim": 2}, r"0 repeats, 1 to")
refused("sums that go round", "cumsum.default", {"self": torch.arange(3), "dim": 0, "dtype": torch.uint8}, r"sums in uint8, which go round")
refused("a quotient of integers", "addcdiv.default", {"self": torch.arange(3), "tensor1": torch.arange(3), "tensor2": torch.arange(3) + 1}, r"of int64; of floats")
refused("antialiasing to corners", "_upsample_bicubic2d_aa.default", {"self": "x", "output_size": [3, 3], "align_corners": True},
        r"\(aten._upsample_bicubic2d_aa.default\): antialiased with align_corners")
refused("dropout in training", "dropout.default", {"input": "x", "p": 0.5, "train": True}, r"model.eval\(\) before")
refused("an argument that is not known", "relu.default", {"self": "x", "new": 1}, r"its argument 1, 'new', is not taken")
refused("an argument twice", "relu.default", {"self": "x", None: "x"}, r"argument 1, '', is not taken")
refused("an argument that counts", "avg_pool2d.default", {"self": "x", "kernel_size": [2, 2], "divisor_override": 3}, r"divisor_override is an integer; only None")
refused("a norm in another type", "linalg_vector_norm.default", {"self": "x", "dtype": torch.float64}, r"with the argument 'dtype' it is not taken")
refused("something of the best class", "argmax.default", {"self": "x", "dim": 1}, r"the best along dimension 1 of 4")
refused("indices of a pool", "max_pool2d_with_indices.default", {"self": "x", "kernel_size": [2, 2]}, r"output 'n0_1' is not computed here", 2, read=1)
transposed = {"input": "x", "weight": normal(4, 2, 2, 2)}
refused("weights of other channels", "conv_transpose2d.input", transposed | {"weight": normal(2, 4, 2, 2)}, r"weights for 2 channels in 1 groups, the input has 4")
refused("groups that do not divide", "conv_transpose2d.input", transposed | {"groups": 3}, r"weights for 4 channels in 3 groups")
refused("an output's padding of a stride", "conv_transpose2d.input", transposed | {"stride": [2, 2], "output_padding": [2, 0]}, r"an output_padding of 2, expected less than")
refused("a negative one", "conv_transpose2d.input", transposed | {"output_padding": [-1, 0]}, r"its output_padding is -1, expected 0 to 32767")
refused("the memory's layout", "as_strided.default", {"self": "x", "size": [4, 6], "stride": [1, 4]}, r"a view by strides of more than one dimension")
net = Net()
part = net.op("slice.Tensor", {"self": net.input(normal(1, 8)), "dim": 1, "start": 3, "end": 8})
case("refused: memory before a piece", net, [net.op("as_strided.default", {"self": part, "size": [1, 5], "stride": [5, 1], "storage_offset": 0})],
     r"a view by strides of more than one dimension")
refused("a tensor for a number", "conv2d.default", {"input": "x", "weight": 3}, r"its weight is an integer, expected a tensor")
refused("too many numbers", "conv2d.default", {"input": "x", "weight": normal(3, 4, 1, 1), "stride": [1, 1, 1]}, r"its stride has 3 values, expected at most 2")
refused("a kernel that does not fit", "max_pool2d.default", {"self": "x", "kernel_size": [9, 1]}, r"node 'n0' \(aten.max_pool2d.default\): a window of 9 does not fit")
refused("in place of what is not computed", "argmax_.default", {"self": "x", "dim": -1}, r"\(aten.argmax_.default\): in place of something that is no tensor")
refused("a flag for a dimension", "var.default", {"self": "x", None: True}, r"its dim is a flag, expected integers")
refused("too many arguments", "relu.default", {"self": "x"} | {f"a{i}": i for i in range(16)}, r"17 arguments, at most 16 are taken")
net = Net()
many = [net.op("arange.default", {"end": 1 << 20}) for _ in range(40)]
case("refused: numbers without end", net, [net.op("add.Tensor", {"self": net.input(normal(1)), "other": many[-1]})], r"\(aten.arange.default\): more numbers of nothing than")
refused("a subgraph", "higher", {"self": "x"}, r"not taken")


def change_json(member, function):
    def change(members):
        value = json.loads(members[member])
        function(value)
        members[member] = json.dumps(value).encode()
    return change


def change_model(function):
    return change_json("models/model.json", function)


def change_weight(function):
    return change_json("data/weights/model_weights_config.json", lambda value: function(value["config"]["net.w0"]))


def set_to(path, value):
    def function(tree):
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value
    return function


conv = {"input": "x", "weight": normal(3, 4, 1, 1)}
for name, change, expected in (
        ("another schema", change_model(set_to(["schema_version", "major"], 9)), r"schema version 9, expected 8.*torch.export.save\(torch.export.load"),
        ("a pickled weight", change_weight(set_to(["use_pickle"], True)), r"weight 'net.w0' is pickled"),
        ("a weight that is too short", lambda members: members.update({"data/weights/weight_0": bytes(47)}), r"weight 'net.w0' reads beyond the 47 bytes"),
        ("a weight behind its end", change_weight(set_to(["tensor_meta", "storage_offset", "as_int"], 1)), r"reads beyond"),
        ("a weight without bounds", change_weight(set_to(["tensor_meta", "sizes", 0, "as_int"], 1 << 40)), r"no dense tensor"),
        ("a weight that repeats without end", change_weight(lambda entry: entry["tensor_meta"].update(sizes=sizes([1 << 14, 1 << 13, 1, 1]), strides=sizes([0, 0, 0, 0]))), r"repeats its values too often"),
        ("a weight of complex numbers", change_weight(set_to(["tensor_meta", "dtype"], 10)), r"of a type that is taken"),
        ("a weight that is not there", lambda members: members.pop("data/weights/weight_0"), r"no 'net/data/weights/weight_0' in the ZIP archive"),
        ("a path out of the folder", change_weight(set_to(["path_name"], "../../x")), r"no 'net/data/weights/../../x' in the ZIP archive"),
        ("another byte order", lambda members: members.update(byteorder=b"big"), r"byteorder is not 'little'"),
        ("weights in one pickle", lambda members: (members.pop("data/weights/model_weights_config.json"), members.update({"data/weights/model.pt": b""})), r"its weights are pickled.*With a newer PyTorch"),
        ("no graph", lambda members: members.update({"models/model.json": b'{"schema_version": {"major": 8}}'}), r"no list of at most"),
        ("no JSON", lambda members: members.update({"models/model.json": b"[" * 100000}), r"'models/model.json' in the ZIP archive is no object of JSON"),
        ("a package of code", lambda members: members.pop("models/model.json"), r"without models/model.json"),
        ("a name twice", change_model(lambda value: value["graph_module"]["graph"]["nodes"].append(value["graph_module"]["graph"]["nodes"][0])), r"the name 'n0' is defined twice"),
        ("a name that nobody makes", change_model(set_to(["graph_module", "graph", "nodes", 0, "inputs", 0, "arg", "as_tensor", "name"], "n9")), r"'n9' is read before it is made"),
        ("weights that change", change_model(set_to(["graph_module", "signature", "output_specs", 0], {"buffer_mutation": {}})), r"changes its own weights.*model.eval\(\)")):
    refused(name, "conv2d.default", conv, expected, change=change)

tap = references.Tap()
table = set(re.findall(r'^    \{"([A-Za-z0-9_.]+)"', (source / "models/torch/aten-ops.c").read_text(), re.M))
for _, net, _, expected in cases:
    for target in net.ops if not isinstance(expected, str) else []:
        packet = target.split(".")[0]
        table -= {target, packet, packet.rstrip("_"), target.replace("_.", ".")}
with tempfile.TemporaryDirectory(prefix="gpudl-torch-") as folder:
    folder = pathlib.Path(folder)
    lines = ""
    for i, (name, net, archive, expected) in enumerate(cases):
        (folder / f"{i}.pt2").write_bytes(archive)
        for k, x in enumerate(net.inputs):
            (folder / f"{i}.in{k}").write_bytes(x.contiguous().numpy().tobytes())
        lines += "\t".join(map(str, (folder / f"{i}.pt2", folder / f"{i}.out", *(folder / f"{i}.in{k}" for k in range(len(net.inputs)))))) + "\n"
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=250).stdout.splitlines()
    for i, (name, net, archive, expected) in enumerate(cases):
        answer = answers[i] if i < len(answers) else "no answer"
        wrong = ""
        if isinstance(expected, str):
            wrong = "" if answer.startswith("error") and re.search(expected, answer) else f"{answer!r}, expected an error with {expected!r}"
        elif answer.split("\t")[1:] != [f"float32 {'x'.join(map(str, want.shape)) or 'scalar'}" for want in expected]:
            wrong = f"{answer}, expected {[tuple(want.shape) for want in expected]}"
        for k, want in enumerate(expected if not wrong and not isinstance(expected, str) else []):
            for stage in ("literal", "rewritten"):
                got = torch.frombuffer(bytearray((folder / f"{i}.out.{stage}.{k}").read_bytes()), dtype=torch.float32)
                off = (got - want.reshape(-1)).abs().max().item()
                if not off <= 2e-5 * max(1, want.abs().max().item()):
                    wrong = f"{stage}, output {k}: off by {off:.3g}"
        tap.result(not wrong, name, wrong)
    two = Net()
    shape = [{"as_expr": {"expr_str": "s0"}}, *sizes((3, 8, 8))]
    one, other = two.input(normal(2, 3, 8, 8), shape), two.input(normal(1, 3, 1, 1))
    (folder / "two.pt2").write_bytes(two.archive([two.op("add.Tensor", {"self": one, "other": other})]))
    answer = subprocess.run([tf_run], input=f"{folder / 'two.pt2'}\t{folder / 'two.out'}\n", capture_output=True, text=True, timeout=60,
                            env=os.environ | {"TF_RUN_SIZE": "8x8"}).stdout
    says = "2 inputs, 'x0' ?x3x8x8, 'x1' 1x3x1x1: expected one, a picture N x C x H x W. Export a module that takes the picture alone"
    tap.result(says in answer, "of two inputs both are named", answer)

page = (source / "docs/OPERATORS.md").read_text().split("\n## PyTorch\n\n")[1]
listed = set(re.findall("`([A-Za-z0-9_.]+)`", page.split("\n\n")[1]))
rows = {row for row in re.findall(r'^    \{"([A-Za-z0-9_.]+)"', (source / "models/torch/aten-ops.c").read_text(), re.M) if not row.startswith("_operator")}
tap.result(listed == rows, "docs/OPERATORS.md lists the table", ", ".join(sorted(listed ^ rows)))
tap.result(not table, "every operator of the table has a case", ", ".join(sorted(table)))
tap.finish()
