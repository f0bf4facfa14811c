#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes aliased_golden.h: pictures resized by OpenCV's INTER_LINEAR, which the reference's bilinear-aliased has to
reproduce.

OpenCV resizes float32 in floating point (exact) and bytes in integers of 11 bits (integer), which is what programs feed
networks. Usage: generate_aliased.py > aliased_golden.h (opencv-python-headless 5.0, numpy). `generate_aliased.py torch`
compares with PyTorch's interpolate(antialias=False) instead, and writes nothing.
"""
import sys

import numpy as np

# source w, h, crop x, y, w, h (0: all), scaled w, h, and what is taken of its middle
SHAPES = [
    (13, 9, 0, 0, 0, 0, 5, 4, 5, 4),
    (13, 9, 0, 0, 0, 0, 20, 17, 20, 17),
    (40, 3, 0, 0, 0, 0, 7, 7, 7, 7),
    (3, 40, 0, 0, 0, 0, 7, 7, 7, 7),
    (31, 22, 5, 3, 17, 12, 6, 8, 6, 8),
    (24, 18, 0, 0, 0, 0, 12, 9, 6, 3),
    (24, 18, 0, 0, 0, 0, 8, 6, 4, 4),
    (1, 1, 0, 0, 0, 0, 3, 2, 3, 2),
    (64, 48, 0, 0, 0, 0, 3, 5, 3, 5),
    (64, 48, 0, 0, 0, 0, 64, 5, 64, 5),
]


def noise(n):
    """The same bytes as the C test makes, from a linear congruential generator."""
    out, state = np.empty(n, np.uint8), 12345
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    return out


def numbers(values, form):
    text = [form % v for v in values]
    return ",\n    ".join(", ".join(text[i:i + 12]) for i in range(0, len(text), 12))


def by_opencv(part, w, h):
    import cv2

    return cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR)


def by_torch(part, w, h):
    import torch

    planes = torch.from_numpy(part.astype(np.float64)).permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(planes, (h, w), mode="bilinear", align_corners=False, antialias=False)
    return scaled[0].permute(1, 2, 0).numpy()


def pictures(resize, kind):
    for w, h, cx, cy, cw, ch, sw, sh, dw, dh in SHAPES:
        picture = noise(w * h * 3).reshape(h, w, 3)
        part = np.ascontiguousarray(picture[cy:cy + ch, cx:cx + cw] if cw else picture).astype(kind)
        x, y = (sw - dw) // 2, (sh - dh) // 2
        yield resize(part, sw, sh)[y:y + dh, x:x + dw].transpose(2, 0, 1).ravel()


def compare():
    import re

    with open(__file__.replace("generate_aliased.py", "aliased_golden.h"), encoding="ascii") as file:
        text = file.read().split("aliased_exact[] = {")[1].split("}")[0]
    mine = np.array([float(v) for v in re.findall(r"[-0-9.e+]+(?=f)", text)])
    theirs = np.concatenate(list(pictures(by_torch, np.uint8)))
    worst = np.abs(mine - theirs).max()
    print("%d values, largest difference to PyTorch %.3g of 255" % (len(mine), worst))
    return not worst < 1e-3


def write():
    import cv2

    exact, integer = list(pictures(by_opencv, np.float32)), list(pictures(by_opencv, np.uint8))
    cases, first = [], 0
    for shape, values in zip(SHAPES, exact):
        cases.append("{%s, %d}" % (", ".join("%d" % v for v in shape), first))
        first += len(values)
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
    print("/* Made by generate_aliased.py with OpenCV %s: do not edit. */" % cv2.__version__)
    print("typedef struct {\n    int width, height, crop_x, crop_y, crop_width, crop_height;")
    print("    int scaled_width, scaled_height, dst_width, dst_height;")
    print("    int first; /* in aliased_exact and aliased_integer: R, G, B planes */")
    print("} AliasedCase;\n")
    print("static const AliasedCase aliased_cases[] = {\n    %s,\n};\n" % ",\n    ".join(cases))
    print("static const float aliased_exact[] = {\n    %s,\n};\n" % numbers(np.concatenate(exact), "%.7ef"))
    print("static const unsigned char aliased_integer[] = {\n    %s,\n};" % numbers(np.concatenate(integer), "%d"))


sys.exit(compare() if sys.argv[1:] == ["torch"] else write())
