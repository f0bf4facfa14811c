#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: export.py

Writes the files beside it anew, with PyTorch 2.9 or newer: a small network of many operators as torch.export.save() writes
it (exported.pt2: with a free batch; decomposed.pt2: after run_decompositions(), batch 1) and as torch.jit.save() does (traced.pt,
without the debugging information, which has paths of the machine that this runs on), picture.f32, and what
PyTorch computes of it in float64, output.txt.
"""
import io
import pathlib
import zipfile

import torch
from torch import nn
from torch.nn import functional as F

here = pathlib.Path(__file__).resolve().parent


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(n, n, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(n)
        self.squeeze = nn.Conv2d(n, n, 1)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)), inplace=True)
        y = y * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(y, 1)))
        return F.hardswish(x + y)


class Attention(nn.Module):
    def __init__(self, n, heads):
        super().__init__()
        self.heads, self.norm, self.qkv, self.out = heads, nn.LayerNorm(n), nn.Linear(n, 3 * n), nn.Linear(n, n)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.block, self.attention = Block(8), Attention(8, 2)
        self.position = nn.Parameter(torch.randn(1, 9, 8) * .1)
        self.register_buffer("order", torch.tensor([2, 0, 1, 3, 7, 6, 5, 4]), persistent=False)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(8, 5)

    def forward(self, x):
        x = self.block(self.pool(F.gelu(self.stem(x))))
        a, b = x.chunk(2, dim=1)
        x = torch.cat([F.avg_pool2d(b, 2, 1), F.pad(a, (0, 0, 1, 0))[:, :, 1:4, 1:4]], 1)[:, self.order]
        x = self.attention(x.flatten(2).transpose(1, 2) + self.position)
        return self.head(self.drop(x.mean(1)))


def save(program, name):
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of the machine that this runs on
    torch.export.save(program, here / name)


torch.manual_seed(1)
net = Net().eval()
for module in net.modules():
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean.uniform_(-.5, .5)
        module.running_var.uniform_(.5, 1.5)
picture = torch.rand(1, 3, 16, 16)
with torch.no_grad():
    trace = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, picture), trace)
    with zipfile.ZipFile(trace) as archive, zipfile.ZipFile(here / "traced.pt", "w", zipfile.ZIP_STORED) as kept:
        for name in archive.namelist():
            if not name.endswith(".debug_pkl"):
                kept.writestr(zipfile.ZipInfo("traced/" + name.split("/", 1)[1]), archive.read(name))
    free = torch.export.export(net, (torch.rand(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("n")},))
    save(free, "exported.pt2")
    save(torch.export.export(net, (picture,)).run_decompositions(), "decomposed.pt2")
    (here / "output.txt").write_text("".join(f"{value!r}\n" for value in net.double()(picture.double())[0].tolist()))
(here / "picture.f32").write_bytes(picture.numpy().tobytes())
