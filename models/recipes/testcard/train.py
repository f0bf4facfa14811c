#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the testcard network on frames of videotestsrc and writes testcard.onnx and accuracy.json beside itself.

Wants Debian's python3-torch, python3-pil and GStreamer's tools and base plugins; run as /usr/bin/python3 train.py.
Nobody else needs any of that: testcard.onnx is part of the source.

The network sees 64x64 RGB, pixel / 255, the whole frame stretched. Training frames come in other sizes and formats
than the held-out ones. Held-out frames are measured as they are, and once more with noise, brightness and crop.
"""
import argparse
import io
import json
import pathlib
import random
import subprocess

import numpy as np
import onnx
import torch
from PIL import Image
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
LABELS = (HERE / "labels.txt").read_text().split()
SIDE = 64
TRAIN_SIZES = [(64, 64), (96, 72), (128, 96), (160, 120), (224, 224), (320, 240), (352, 288), (640, 360), (1280, 720),
               (1600, 900), (2048, 1152)]
TRAIN_FORMATS = ["I420", "RGB", "YUY2"]
HELD_OUT_SIZES = [(100, 76), (176, 144), (240, 180), (400, 300), (640, 480), (854, 480), (1920, 1080)]
HELD_OUT_FORMATS = ["NV12", "BGRx", "Y444"]
NOT_CROPPED = {"ball", "bar", "black"}  # what tells them apart may lie at the edge


def arguments_of(pattern):
    # without these both zone plates are one flat grey
    return ["kx2=20", "ky2=20", "kt=1"] if "zone-plate" in pattern else []


def frames(pattern, size, form, count):
    """Decodes count frames of a pattern at 3 frames/s (moving ones move), RGB uint8 arrays of the size."""
    width, height = size
    pipeline = (["gst-launch-1.0", "-q", "videotestsrc", f"pattern={pattern}", f"num-buffers={count}"]
                + arguments_of(pattern)
                + ["!", f"video/x-raw,format={form},width={width},height={height},framerate=3/1", "!", "videoconvert",
                   "!", "video/x-raw,format=RGB", "!", "pngenc", "compression-level=1", "!", "multipartmux",
                   "boundary=frame", "!", "fdsink", "fd=1"])
    data = subprocess.run(pipeline, check=True, stdout=subprocess.PIPE).stdout
    for part in data.split(b"\x89PNG\r\n\x1a\n")[1:]:
        yield Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + part)).convert("RGB")


def shrink(picture, pattern, rng, crop, filters=(Image.BILINEAR,)):
    """Stretches to the network's input, after cutting up to 10 % off each side."""
    width, height = picture.size
    box = None
    if crop and pattern not in NOT_CROPPED:
        cut = [rng.uniform(0, 0.1) for _ in range(4)]
        box = (cut[0] * width, cut[1] * height, width - cut[2] * width, height - cut[3] * height)
    return np.asarray(picture.resize((SIDE, SIDE), rng.choice(filters), box=box))


def dataset(sizes, formats, count, crops, rng):
    """uint8 (n, 3, 64, 64) and class ids; crops 0: each frame once, whole."""
    pictures, truth = [], []
    for number, pattern in enumerate(LABELS):
        for size in sizes:
            for form in formats:
                for picture in frames(pattern, size, form, count):
                    for turn in range(max(1, crops)):
                        pictures.append(shrink(picture, pattern, rng, crops and turn, (
                            Image.BILINEAR, Image.BILINEAR, Image.BICUBIC, Image.BOX) if crops else (Image.BILINEAR,)))
                        truth.append(number)
        print(f"{pattern}: {len(truth)} frames so far", flush=True)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), torch.tensor(truth)


def disturb(batch, generator):
    """Contrast x0.85..1.15, brightness -0.08..0.08 and noise up to sigma 0.06, on values 0..1."""
    n = len(batch)
    contrast = 0.85 + 0.3 * torch.rand(n, 1, 1, 1, generator=generator)
    brightness = 0.16 * torch.rand(n, 1, 1, 1, generator=generator) - 0.08
    noise = torch.randn(batch.shape, generator=generator) * (0.06 * torch.rand(n, 1, 1, 1, generator=generator))
    return (batch * contrast + brightness + noise).clamp(0, 1)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, len(LABELS)))


def measure(net, pictures, truth, generator=None):
    wrong = {}
    with torch.no_grad():
        for start in range(0, len(truth), 256):
            batch = pictures[start:start + 256].float() / 255
            if generator is not None:
                batch = disturb(batch, generator)
            for got, want in zip(net(batch).argmax(1).tolist(), truth[start:start + 256].tolist()):
                if got != want:
                    key = f"{LABELS[want]} -> {LABELS[got]}"
                    wrong[key] = wrong.get(key, 0) + 1
    return {"frames": len(truth), "right": len(truth) - sum(wrong.values()), "wrong": wrong}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--frames", type=int, default=6, help="frames of each pattern, size and format")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    generator = torch.Generator().manual_seed(options.seed)

    pictures, truth = dataset(TRAIN_SIZES, TRAIN_FORMATS, options.frames, 2, rng)
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    steps = options.epochs * ((len(truth) + 127) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for epoch in range(options.epochs):
        order, total = torch.randperm(len(truth), generator=generator), 0.0
        for start in range(0, len(truth), 128):
            pick = order[start:start + 128]
            loss = nn.functional.cross_entropy(net(disturb(pictures[pick].float() / 255, generator)), truth[pick],
                                               label_smoothing=0.02)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(pick)
        print(f"epoch {epoch + 1}: loss {total / len(truth):.4f}", flush=True)

    net.eval()
    held_out, held_truth = dataset(HELD_OUT_SIZES, HELD_OUT_FORMATS, 4, 0, rng)
    cropped, cropped_truth = dataset(HELD_OUT_SIZES, HELD_OUT_FORMATS, 2, 2, rng)
    accuracy = {"held_out": measure(net, held_out, held_truth),
                "held_out_disturbed": measure(net, cropped, cropped_truth, generator)}
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    print(json.dumps(accuracy, indent=1))
    torch.onnx.export(nn.Sequential(net, nn.Softmax(1)).eval(), torch.zeros(1, 3, SIDE, SIDE), HERE / "testcard.onnx",
                      input_names=["image"], output_names=["probabilities"], opset_version=13,
                      dynamic_axes={"image": {0: "N"}, "probabilities": {0: "N"}})
    model = onnx.load(HERE / "testcard.onnx")
    onnx.helper.set_model_props(model, {"gpudl.channel_order": "rgb", "gpudl.resize_mode": "stretch", "gpudl.scale": "255"})
    onnx.save(model, HERE / "testcard.onnx")


if __name__ == "__main__":
    main()
