#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: measure.py > rows.inc

Runs transformers' image processors (4.46.3, with numpy and Pillow, without PyTorch) and writes what they do as rows of
test-known-processors.c: the configuration; height, width and order of the channels of what they give; Pillow's number of the
filter; value = gain * pixel + offset of each channel of that, of pictures of one colour; and the part of a 640x480 picture that it
covers, x, y, width, height, of where the middle of a ramp comes to lie, which is right to a pixel or two.
"""
import json
import warnings

import numpy as np
import transformers
from PIL import Image

warnings.filterwarnings("ignore")
WIDTH, HEIGHT = 640, 480
S = {"shortest_edge": 200}
Q = {"height": 200, "width": 200}
C = {"height": 160, "width": 160}
CONFIGS = [(t, {}) for t in ["ViT", "Pvt", "Siglip", "Segformer", "Beit", "DeiT", "EfficientFormer", "EfficientNet", "Perceiver", "Bit",
                             "CLIP", "ViTHybrid", "ConvNext", "Levit", "MobileNetV1", "MobileNetV2", "PoolFormer"]] + [
    ("ViT", {"size": 200, "do_rescale": False, "image_mean": [1, 2, 3], "image_std": [4, 5, 6]}),
    ("ViT", {"do_normalize": False, "rescale_factor": 0.5}),
    ("ViTHybrid", {"size": 200, "crop_size": 160}),
    ("Bit", {"size": S, "crop_size": 160, "image_mean": [.1, .2, .3]}),
    ("DeiT", {"size": Q, "crop_size": C, "resample": 2}),
    ("EfficientNet", {"include_top": False, "image_std": [.1, .2, .4]}),
    ("EfficientNet", {"include_top": True, "image_mean": [.1, .2, .3], "image_std": [.1, .2, .4], "size": Q}),
    ("EfficientNet", {"do_normalize": False, "image_std": [.1, .2, .4]}),
    ("EfficientNet", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "do_normalize": False, "include_top": False}),
    ("EfficientNet", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "image_mean": [.1, .2, .3], "image_std": [.1, .2, .4]}),
    ("EfficientNet", {"rescale_offset": True, "do_rescale": False, "image_mean": [1, 2, 3], "image_std": [4, 5, 6]}),
    ("EfficientNet", {"do_center_crop": True, "size": Q, "crop_size": C}),
    ("Perceiver", {"size": C, "crop_size": Q}),
    ("Perceiver", {"size": C, "do_center_crop": False}),
    ("ConvNext", {"size": S, "crop_pct": 0.8}),
    ("ConvNext", {"size": S, "crop_pct": None}),
    ("ConvNext", {"size": 200}),
    ("Levit", {"size": {"shortest_edge": 192}, "crop_size": C}),
    ("Levit", {"size": Q, "crop_size": C}),
    ("PoolFormer", {"size": S, "crop_size": C, "crop_pct": 0.95}),
    ("PoolFormer", {"size": Q, "crop_size": C}),
    ("PoolFormer", {"size": S, "crop_size": C, "crop_pct": None}),
    ("MobileViT", {"size": S, "crop_size": C}),
    ("MobileViT", {"size": S, "crop_size": C, "do_flip_channel_order": False, "do_normalize": True, "image_mean": [1, 2, 3],
                   "image_std": [1, 2, 3]}),
    ("EfficientFormer", {"size": S, "crop_size": C}),
]


def fit(line, extent):
    """The part of extent pixels that a result covers, by where its middle samples lie."""
    n = len(line)
    at = np.arange(n) + 0.5
    keep = slice(n // 8, n - n // 8)
    step, begin = np.polyfit(at[keep], line[keep] * (extent - 1) / 255 + 0.5, 1)
    return begin, step * n


def c_string(value):
    return json.dumps(json.dumps(value, separators=(",", ":")))


print("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n/* Made by measure.py. */")
for name, config in CONFIGS:
    processor = getattr(transformers, name + "ImageProcessor").from_dict(dict(config))

    def run(pixels):
        return np.asarray(processor(Image.fromarray(pixels.astype(np.uint8)), return_tensors="np")["pixel_values"][0], np.float64)

    black = run(np.zeros((HEIGHT, WIDTH, 3)))
    middle = black.shape[1] // 2, black.shape[2] // 2
    low = black[:, middle[0], middle[1]]
    gains, sources = [0] * 3, [0] * 3
    for c in range(3):
        picture = np.zeros((HEIGHT, WIDTH, 3))
        picture[..., c] = 255
        high = run(picture)[:, middle[0], middle[1]] - low
        to = int(np.argmax(np.abs(high)))
        gains[to], sources[to] = high[to] / 255, c
    ramp_x = np.broadcast_to(np.round(np.arange(WIDTH) * 255 / (WIDTH - 1))[None, :, None], (HEIGHT, WIDTH, 3))
    ramp_y = np.broadcast_to(np.round(np.arange(HEIGHT) * 255 / (HEIGHT - 1))[:, None, None], (HEIGHT, WIDTH, 3))
    x, width = fit((run(ramp_x)[0] - low[0])[middle[0]] / gains[0], WIDTH)
    y, height = fit((run(ramp_y)[0] - low[0])[:, middle[1]] / gains[0], HEIGHT)
    order = {(0, 1, 2): "RGB", (2, 1, 0): "BGR"}[tuple(sources)]
    text = {"image_processor_type": f"{name}ImageProcessor", **config}
    print(f"{{{c_string(text)},\n {black.shape[1]}, {black.shape[2]}, GPUDL_CHANNELS_{order}, {int(processor.resample)}, "
          f"{{{', '.join(f'{g:.9g}' for g in gains)}}}, {{{', '.join(f'{b:.9g}' for b in low)}}}, "
          f"{{{x:.1f}, {y:.1f}, {width:.1f}, {height:.1f}}}}},")
