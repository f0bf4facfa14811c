#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-torchscript.py TF-RUN SOURCE

TorchScript's archives, traced, scripted and frozen here, against what PyTorch computes; archives with code and pickles of
ill will, which have to be refused; and the archives in torch/ beside it, which a newer PyTorch has written. Runs on the
system's Python, which has PyTorch.
"""
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import references

tf_run, source = sys.argv[1], pathlib.Path(sys.argv[2])
try:
    import torch
except ImportError:
    print("1..0 # SKIP the system's Python has no PyTorch (Debian's python3-torch)")
    sys.exit(0)

torch.manual_seed(1)
tap = references.Tap()


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(inplace=True))
        self.again, self.drop, self.head = torch.nn.Conv2d(8, 8, 3, padding=1, groups=4), torch.nn.Dropout(), torch.nn.Linear(8, 4)
        self.up = torch.nn.ConvTranspose2d(8, 8, (3, 2), stride=2, padding=(1, 0), output_padding=(1, 0), groups=2)
        self.scale = torch.nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(self.up(self.first(x)), 2)
        y = self.again(self.again(x)) * self.scale
        a, b = torch.cat([x, y], 1).view(x.size(0), 2, x.size(1), x.size(2), -1).unbind(1)
        z = torch.nn.functional.hardswish(a - b).transpose(1, 2).contiguous().mean([1, 3])
        return self.head(self.drop(z))


class Tables(torch.nn.Module):
    """Operators whose overload shows in the arguments alone."""

    def forward(self, x):
        made = torch.repeat_interleave(torch.eye(3, 4), 2, 1) + torch.cumsum(torch.eye(8), 0)[1:4]
        return torch.repeat_interleave(x, 2)[None, None, :40].unfold(2, 8, 3).mean([0, 2])[:, :8].repeat(3, 1) + made


class Chooses(torch.nn.Module):
    def forward(self, x):
        return x if bool(x.sum() > 0) else -x


class Loops(torch.nn.Module):
    def forward(self, x):
        for _ in range(int(x.size(0)) + 1):
            x = x + 1
        return x


class Two(torch.nn.Module):
    def forward(self, x, y):
        return x + y


small, picture = Small().eval(), torch.rand(1, 3, 9, 8)
small.first[1].running_mean.uniform_(-0.5, 0.5)
small.first[1].running_var.uniform_(0.5, 1.5)
want = small.double()(picture.double()).detach()
small.float()
modules = {"traced": torch.jit.trace(small, picture), "scripted": torch.jit.script(small), "frozen": torch.jit.freeze(torch.jit.script(small)),
           "tables": torch.jit.script(Tables().eval())}
wanted = dict.fromkeys(modules, want) | {"tables": Tables()(picture.double())}
refusals = {"a choice": (torch.jit.script(Chooses().eval()), r"line \d+: .*depends on the picture"), "a loop": (torch.jit.script(Loops().eval()), r"line \d+: for is not taken.*torch.export"),
            "training": (torch.jit.script(Small().train()), r"model.eval\(\) before"), "two inputs": (torch.jit.script(Two().eval()), r"called with too few arguments")}
with tempfile.TemporaryDirectory(prefix="gpudl-torch-") as folder:
    (pathlib.Path(folder) / "x").write_bytes(picture.numpy().tobytes())
    lines = ""
    for name, module in [*modules.items(), *((name, module) for name, (module, _) in refusals.items())]:
        module.save(f"{folder}/{name}.pt")
        lines += f"{folder}/{name}.pt\t{folder}/{name}\t{folder}/x\n"

    def change(title, member, function, expected, more={}):
        with zipfile.ZipFile(f"{folder}/traced.pt") as archive, zipfile.ZipFile(f"{folder}/{title}.pt", "w") as other:
            for name in archive.namelist():
                data = archive.read(name)
                if name.removeprefix("traced/") not in more:
                    other.writestr(name, function(data) if name.endswith(member) else data)
            for name, data in more.items():
                other.writestr("traced/" + name, data)
        refusals[title] = (None, expected)
        return f"{folder}/{title}.pt\t{folder}/{title}\t{folder}/x\n"

    def code(body):
        return lambda data: b"class Small(Module):\n  def forward(self: __torch__.Small, x: Tensor) -> Tensor:\n    " + body

    lines += change("a call of something else", "data.pkl", lambda data: data.replace(b"ctorch._utils\n_rebuild_tensor_v2", b"cos\nsystem"),
                    r"node 'network' \(TorchScript\): '(scale|first.0.weight)' is no dense tensor")
    lines += change("an operation of newer pickles", "data.pkl", lambda data: data[:2] + b"\x8c\x01a" + data[2:], r"data.pkl' in the ZIP archive: pickle: an operation \(0x8c")
    lines += change("a call of too many", "data.pkl", lambda data: b"\x80\x02c__torch__\nSmall\n(" + b"N" * 65 + b"tR.", r"data.pkl' in the ZIP archive: pickle: damaged at byte 86")
    long = b"a" * 5000
    lines += change("names without end", "data.pkl", lambda data: b"\x80\x02c__torch__\nSmall\n)\x81q\0}X\x88\x13\0\0" + long + b"h\0sb.",
                    r"__torch__.py, line 3: modules within modules without end",
                    {"code/__torch__.py": b"class Small(Module):\n  def forward(self: __torch__.Small, x: Tensor) -> Tensor:\n    return self." + long + b"\n"})
    idle = b"def f(x: Tensor) -> Tensor:\n  return x\n" + b"a\n" * 500000
    lines += change("files of code without end", "code/__torch__.py", lambda data: b"class Small(Module):\n  def forward(self, x: Tensor) -> Tensor:\n" + b"".join(
        b"    x = __torch__.%c.f(x)\n" % name for name in b"abc") + b"    return x\n", r"code/__torch__/c.py: more code than a network can have",
                    {f"code/__torch__/{name}.py": idle for name in "abc"})
    again = b"(self).forward(x, )"
    for title, body, expected in (("code that calls itself", b"return " + again + b"\n", r"without end"),
                                  ("nested code that calls itself", b"return " + b"[" * 60 + again + b", ]" * 60 + b"\n", r"without end"),
                                  ("nested code", b"return " + b"[" * 99999 + b"]" * 99999 + b"\n", r"more code than a network can have"),
                                  ("code without end", b"return [" + again + b", " + again + b"]\n", r"more code|without end"),
                                  ("Python that is more", b"return x + 1\n", r"line 3: an operator between values is not taken.*torch.export.export"),
                                  ("what is not there", b"return x0\n", r"line 3: x0 is not taken"), ("an import", b"import os\n", r"line 3: import is not taken"),
                                  ("another call", b"return os.system(\"true\")\n", r"line 3: os is not taken"),
                                  ("an operator that is not taken", b"return torch.fft_fft(x)\n", r"node 'fft_fft' \(aten.fft_fft\): this operator is not taken"),
                                  ("outputs without end", b"return [" + b"torch.relu(x), " * 65 + b"]\n", r"more than 64 outputs"),
                                  ("a text that is no number", b"return torch.mul(x, float(\"1.5x\"))\n", r"line 3: a text that is no number"),
                                  ("lists without end", b"l = [" + b"x, " * 1000 + b"]\n" + b"    a = torch.append([l][0], x)\n" * 5000 + b"    return x\n", r"more code than a network can have"),
                                  ("a text without end", b"return \"x\n", r"line 3: a text that does not end")):
        lines += change(title, "code/__torch__.py", code(body), expected)
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=60, env=os.environ | {"TF_RUN_SIZE": "9x8"}).stdout.splitlines()
    for name, answer in zip(modules, answers):
        off, want = math.inf, wanted[name]
        if answer == f"ok\tfloat32 {want.shape[0]}x{want.shape[1]}":
            got = [torch.frombuffer(bytearray(pathlib.Path(folder, f"{name}.{k}.0").read_bytes()), dtype=torch.float32) for k in ("literal", "rewritten")]
            off = max((one - want.reshape(-1)).abs().max().item() for one in got) / (want.max() - want.min()).item()
        tap.result(off < 1e-5, f"TorchScript, {name}", f"off by {off:.3g} of the range: {answer}")
    for (name, (_, expected)), answer in zip(refusals.items(), answers[len(modules):]):
        tap.result(answer.startswith("error") and re.search(expected, answer) is not None, f"TorchScript refused: {name}", answer)

# ---- files of a newer PyTorch -----------------------------------------------------------------------------------------
seeds = source / "tests/models/torch"
with tempfile.TemporaryDirectory(prefix="gpudl-torch-") as folder:
    names = ("exported.pt2", "decomposed.pt2", "traced.pt")
    lines = "".join(f"{seeds / name}\t{folder}/{name}\t{seeds}/picture.f32\n" for name in names)
    answers = subprocess.run([tf_run], input=lines, capture_output=True, text=True, timeout=60).stdout.splitlines()
    want = torch.tensor([float(line) for line in (seeds / "output.txt").read_text().split()], dtype=torch.float64)
    for name, answer in zip(names, answers):
        off = math.inf
        if answer == "ok\tfloat32 1x5":
            got = [torch.frombuffer(bytearray(pathlib.Path(folder, f"{name}.{k}.0").read_bytes()), dtype=torch.float32) for k in ("literal", "rewritten")]
            off = max((one - want).abs().max().item() for one in got) / (want.max() - want.min()).item()
        tap.result(off < 1e-6, f"{name}, which PyTorch wrote", f"off by {off:.3g} of the range: {answer}")
tap.finish()
