#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes preproc_golden.h: pictures resized by Pillow, which the reference has to reproduce.

Pillow resizes mode "F" in floating point without clamping (the exact filters) and mode "RGB" in integers, as
networks' training saw it. Usage: generate_preproc.py > preproc_golden.h (Debian 12: python3-pil 9.4, python3-numpy).
"""
import numpy as np
from PIL import Image
import PIL

# source w, h, crop x, y, w, h (0: all), destination w, h, crop fraction (0: stretch)
SHAPES = [
    (13, 9, 0, 0, 0, 0, 5, 4, 0),
    (13, 9, 0, 0, 0, 0, 20, 17, 0),
    (40, 3, 0, 0, 0, 0, 7, 7, 0),
    (31, 22, 5, 3, 17, 12, 6, 8, 0),
    (24, 18, 0, 0, 0, 0, 7, 7, 0.875),
    (1, 1, 0, 0, 0, 0, 3, 2, 0),
    (64, 48, 0, 0, 0, 0, 3, 5, 0.5),
]
METHODS = [("BILINEAR", Image.BILINEAR), ("BICUBIC", Image.BICUBIC), ("AREA", Image.BOX)]


def noise(n):
    """The same bytes as the C test makes, from a linear congruential generator, in 64..191: bicubic does not overshoot."""
    out, state = np.empty(n, np.uint8), 12345
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = 64 + (state >> 25)
    return out


def box(cw, ch, dw, dh, fraction):
    if not fraction:
        return (0, 0, cw, ch)
    scale = max(dw / cw, dh / ch) / fraction
    sw, sh = min(dw / scale, cw), min(dh / scale, ch)
    return ((cw - sw) / 2, (ch - sh) / 2, (cw + sw) / 2, (ch + sh) / 2)


def numbers(values, form):
    text = [form % v for v in values]
    return ",\n    ".join(", ".join(text[i:i + 12]) for i in range(0, len(text), 12))


cases, floats, integers = [], [], []
for w, h, cx, cy, cw, ch, dw, dh, fraction in SHAPES:
    picture = noise(w * h * 3).reshape(h, w, 3)
    part = picture[cy:cy + ch, cx:cx + cw] if cw else picture
    where = box(part.shape[1], part.shape[0], dw, dh, fraction)
    for name, method in METHODS:
        cases.append("{%d, %d, %d, %d, %d, %d, %d, %d, %rf, GPUDL_SCALE_%s, %d}"
                     % (w, h, cx, cy, cw, ch, dw, dh, float(fraction), name, len(floats)))
        whole = Image.fromarray(np.ascontiguousarray(part)).resize((dw, dh), method, box=where)
        for c in range(3):
            plane = Image.fromarray(part[:, :, c].astype(np.float32)).resize((dw, dh), method, box=where)
            floats.extend(np.asarray(plane).ravel())
            integers.extend(np.asarray(whole)[:, :, c].ravel())

print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
print("/* Made by generate_preproc.py with Pillow %s: do not edit. */" % PIL.__version__)
print("typedef struct {\n    int width, height, crop_x, crop_y, crop_width, crop_height, dst_width, dst_height;")
print("    float crop_fraction;\n    GpudlScaleMethod method;\n    int first; /* in golden_exact and golden_integer: R, G, B planes */")
print("} GoldenCase;\n")
print("static const GoldenCase golden_cases[] = {\n    %s,\n};\n" % ",\n    ".join(cases))
print("static const float golden_exact[] = {\n    %s,\n};\n" % numbers(floats, "%.7ef"))
print("static const unsigned char golden_integer[] = {\n    %s,\n};" % numbers(integers, "%d"))
