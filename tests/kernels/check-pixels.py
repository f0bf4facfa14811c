#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: check-pixels.py PREPROC-RUN [PICTURE ...]

Random pictures (noise, black and white, smooth, and the given files) through pre-processing against torchvision's transforms, of PIL
pictures and of tensors: the reference's and the CPU backend's values have to be within 1 of 255. Prints the largest
and the mean difference of each method and transform. Not part of make check, which has Pillow's values of some of these in
data/; needs torchvision and Pillow: pip install torch torchvision. Takes half a minute.
"""
import struct
import subprocess
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode as Mode
from torchvision.transforms import v2

STRETCH, CENTER_CROP, SQUASH = 1, 3, 4
# torchvision's mode; ours by number of GpudlScaleMethod: for PIL pictures, for tensors of float32
METHODS = {"nearest": (Mode.NEAREST, 1, None), "nearest-exact": (Mode.NEAREST_EXACT, None, 1), "bilinear": (Mode.BILINEAR, 2, 2),
           "bicubic": (Mode.BICUBIC, 6, 3), "box": (Mode.BOX, 4, None)}
# transforms.Resize and CenterCrop: what Resize gets, the crop, our mode and fraction
SHAPES = [((224, 224), (224, 224), STRETCH, 1.0), ((61, 97), (61, 97), STRETCH, 1.0), (256, (224, 224), CENTER_CROP, 224 / 256),
          (40, (33, 33), CENTER_CROP, 33 / 40), ((256, 256), (224, 224), SQUASH, 224 / 256), (235, (224, 224), CENTER_CROP, 224 / 235)]
SIZES = [(500, 375), (333, 501), (91, 67), (224, 224), (1280, 720), (31, 201)]
# torchvision's own byte tensors differ from its PIL pictures: their weights have 16 bits
BOUNDS = {"bicubic of byte tensor": 2.0, "bilinear of byte tensor": 1.01}
BOUND = 1.001
rng = np.random.default_rng(8)
resize = Image.Image.resize
run = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def pictures():
    for name in sys.argv[2:]:
        yield "file", np.asarray(Image.open(name).convert("RGB"))
    for w, h in SIZES:
        yield "noise", rng.integers(0, 256, (h, w, 3), np.uint8)
        yield "black and white", (rng.random((h, w, 3)) < .5).astype(np.uint8) * np.uint8(255)
        small = rng.integers(0, 256, (h // 16 + 2, w // 16 + 2, 3), np.uint8)
        yield "smooth", np.asarray(Image.fromarray(small).resize((w, h), Image.BICUBIC))


def by_rows_first(image, size, *args, **kwargs):
    return resize(resize(image, (size[0], image.height), *args, **kwargs), size, *args, **kwargs)


def jumps(name, source, scaled):
    """Whether nearest or box have a choice along an axis."""
    whole = name == "box" and source > scaled
    return any((2 * i * source - scaled if whole else (2 * i + 1) * source) % (2 * scaled) == 0 for i in range(scaled + 1))


def ours(picture, size, mode, method, fraction):
    """The reference's and the CPU backend's."""
    h, w, _ = picture.shape
    run.stdin.write(struct.pack("<6if", w, h, size[1], size[0], mode, method, fraction) + picture.tobytes())
    run.stdin.flush()
    n = 3 * size[0] * size[1]
    return np.frombuffer(run.stdout.read(8 * n), "<f4").reshape(2, 3, *size)


Image.Image.resize = by_rows_first
worst, total = {}, {}
for kind, picture in pictures():
    for to, crop, mode, fraction in SHAPES:
        for name, (torch_mode, of_pil, of_tensor) in METHODS.items():
            scale = v2.Resize(to, torch_mode, antialias=True)
            transform = v2.Compose([scale, v2.CenterCrop(crop)])
            scaled = scale(Image.fromarray(picture)).size
            if name[:3] in ("nea", "box") and any(jumps(name, a, b) for a, b in zip(picture.shape[1::-1], scaled)):
                continue
            expected = []
            if of_pil is not None:
                expected.append(("PIL", of_pil, np.asarray(transform(Image.fromarray(picture))).transpose(2, 0, 1)))
            if of_tensor is not None:
                tensor = torch.from_numpy(picture).permute(2, 0, 1)
                # a float tensor may leave 0..255; what becomes a byte is clamped
                expected.append(("float tensor", of_tensor, transform(tensor.float()).clamp(0, 255).numpy()))
                expected.append(("byte tensor", of_pil or of_tensor, transform(tensor).numpy()))
            for what, method, theirs in expected:
                for side, values in zip(("reference", "CPU"), ours(picture, crop, mode, method, fraction)):
                    off = np.abs(values - theirs.astype(np.float32))
                    key = f"{name} of {what}", side, kind
                    worst[key] = max(worst.get(key, 0), float(off.max()))
                    total.setdefault(key, []).append(float(off.mean()))
wrong = 0
for (what, side, kind), off in sorted(worst.items()):
    bad = off > BOUNDS.get(what, BOUND)
    wrong += bad
    print(f"{what:28} {side:10} {kind:16} largest {off:7.4f}  mean {np.mean(total[what, side, kind]):.4f}{'  TOO FAR' if bad else ''}")
sys.exit(wrong != 0)
