#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes preproc_golden.h: pictures resized and cropped by Pillow, which the reference has to reproduce.

Whole pictures are resized, and the middle is cut out of them, as torchvision 0.29 and timm 1.0 do it. Pillow resizes mode "F" in floating point without clamping (the exact filters) and mode "RGB" in integers, as
networks' training saw it. Of bicubic in bytes the picture is made of
extremes: there it is clamped between the passes. Usage: generate_preproc.py > preproc_golden.h (Debian 12: python3-pil
9.4, python3-numpy; Pillow 13 takes columns first where the height shrinks much more than the width).
"""
import math

import numpy as np
from PIL import Image
import PIL

# source w, h, crop x, y, w, h (0: all), destination w, h, mode, crop fraction
SHAPES = [
    (13, 9, 0, 0, 0, 0, 5, 4, "STRETCH", 1),
    (13, 9, 0, 0, 0, 0, 20, 17, "STRETCH", 1),
    (40, 3, 0, 0, 0, 0, 7, 7, "STRETCH", 1),
    (31, 22, 5, 3, 17, 12, 6, 8, "STRETCH", 1),
    (24, 18, 0, 0, 0, 0, 7, 7, "CENTER_CROP", 0.875),
    (1, 1, 0, 0, 0, 0, 3, 2, "STRETCH", 1),
    (64, 48, 0, 0, 0, 0, 3, 5, "CENTER_CROP", 0.5),
    (18, 24, 0, 0, 0, 0, 7, 7, "CENTER_CROP", 0.9),
    (19, 33, 2, 1, 15, 29, 6, 6, "CENTER_CROP", 0.75),
    (64, 48, 0, 0, 0, 0, 3, 5, "SQUASH", 0.5),
    (30, 11, 0, 0, 0, 0, 8, 8, "BORDER", 0.75),
    (9, 30, 0, 0, 0, 0, 7, 6, "BORDER", 1),
]
METHODS = [("BILINEAR", Image.BILINEAR), ("BICUBIC", Image.BICUBIC), ("AREA", Image.BOX)]


def noise(n):
    """The same bytes as the C test makes, from a linear congruential generator, in 64..191: bicubic does not overshoot."""
    out, state = np.empty(n, np.uint8), 12345
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = 64 + (state >> 25)
    return out


def extremes(n):
    """The same as noise(), each 0 or 255 but for one in eight."""
    raw = noise(n).astype(int) - 64
    return np.where(raw < 16, 8 * raw, np.where(raw % 2, 255, 0)).astype(np.uint8)


def scaled(w, h, dw, dh, mode, fraction):
    """Size of the whole picture before the middle is cut out."""
    gw, gh = math.floor(dw / fraction), math.floor(dh / fraction)
    if mode in ("STRETCH", "SQUASH"):
        return gw, gh
    if mode == "CENTER_CROP" and gw == gh:  # transforms.Resize(int)
        return (gw, int(gw * h / w)) if w <= h else (int(gh * w / h), gh)
    ratio = (max if mode == "BORDER" else min)(h / gh, w / gw)  # timm's ResizeKeepRatio
    return round(w / ratio), round(h / ratio)


def fit(picture, dw, dh, mode, fraction, method):
    """Resized, and the middle: transforms.CenterCrop, timm's CenterCropOrPad. Beyond a picture all is 0."""
    rw, rh = scaled(*picture.size, dw, dh, mode, fraction)
    left, top = (int(round((r - d) / 2.0)) if r > d else -((d - r) // 2) for r, d in ((rw, dw), (rh, dh)))
    return picture.resize((rw, rh), method).crop((left, top, left + dw, top + dh))


def numbers(values, form):
    text = [form % v for v in values]
    return ",\n    ".join(", ".join(text[i:i + 12]) for i in range(0, len(text), 12))


cases, floats, integers = [], [], []
for w, h, cx, cy, cw, ch, dw, dh, mode, fraction in SHAPES:
    picture = noise(w * h * 3).reshape(h, w, 3)
    part = picture[cy:cy + ch, cx:cx + cw] if cw else picture
    for name, method in METHODS:
        cases.append("{%d, %d, %d, %d, %d, %d, %d, %d, GPUDL_RESIZE_%s, %rf, GPUDL_SCALE_%s, %d}"
                     % (w, h, cx, cy, cw, ch, dw, dh, mode, float(fraction), name, len(floats)))
        whole = fit(Image.fromarray(np.ascontiguousarray(part)), dw, dh, mode, fraction, method)
        for c in range(3):
            plane = fit(Image.fromarray(part[:, :, c].astype(np.float32)), dw, dh, mode, fraction, method)
            floats.extend(np.asarray(plane).ravel())
            integers.extend(np.asarray(whole)[:, :, c].ravel())

bytes_cases, bytes_values = [], []
for w, h, cx, cy, cw, ch, dw, dh, mode, fraction in SHAPES:
    picture = extremes(w * h * 3).reshape(h, w, 3)
    part = np.ascontiguousarray(picture[cy:cy + ch, cx:cx + cw] if cw else picture)
    bytes_cases.append("{%d, %d, %d, %d, %d, %d, %d, %d, GPUDL_RESIZE_%s, %rf, GPUDL_SCALE_BICUBIC_BYTES, %d}"
                       % (w, h, cx, cy, cw, ch, dw, dh, mode, float(fraction), len(bytes_values)))
    bytes_values.extend(np.asarray(fit(Image.fromarray(part), dw, dh, mode, fraction, Image.BICUBIC)).transpose(2, 0, 1).ravel())

print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
print("/* Made by generate_preproc.py with Pillow %s: do not edit. */" % PIL.__version__)
print("typedef struct {\n    int width, height, crop_x, crop_y, crop_width, crop_height, dst_width, dst_height;")
print("    GpudlResizeMode mode;\n    float crop_fraction;\n    GpudlScaleMethod method;\n    int first; /* in golden_exact and golden_integer, or golden_bytes: R, G, B planes */")
print("} GoldenCase;\n")
print("static const GoldenCase golden_cases[] = {\n    %s,\n};\n" % ",\n    ".join(cases))
print("static const float golden_exact[] = {\n    %s,\n};\n" % numbers(floats, "%.7ef"))
print("static const unsigned char golden_integer[] = {\n    %s,\n};" % numbers(integers, "%d"))
print("\nstatic const GoldenCase golden_bytes_cases[] = {\n    %s,\n};\n" % ",\n    ".join(bytes_cases))
print("static const unsigned char golden_bytes[] = {\n    %s,\n};" % numbers(bytes_values, "%d"))
