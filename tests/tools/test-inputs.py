#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-inputs.py GPUDL MAKE-MODEL TESTCARD STEPS: files that the gpudl command is given and that are not as they should
be: what is refused, in which words, and that nothing is lost by it."""
import math
import json
import sys

import onnxfile
from cli import check, check_run, gpudl, main, test

NAN, INF = math.nan, math.inf


def write_ppm(path, rgb=(128, 128, 128), size=8):
    path.write_bytes(b"P6 %d %d 255\n" % (size, size) + bytes(rgb) * size * size)


def write_means(path, factors=(1, 1, 1), offsets=(0, 0, 0), more=None):
    """The mean of each channel times a factor, and an offset; more: (operator, {attributes}) at the end."""
    last = "y" if more is None else "z"
    parts = [onnxfile.node("GlobalAveragePool", "x", "g"), onnxfile.node("Flatten", "g", "f"),
             onnxfile.node("Mul", "f m", "fm"), onnxfile.node("Add", "fm b", last),
             onnxfile.constant("m", [3], factors), onnxfile.constant("b", [3], offsets)]
    if more is not None:
        parts.append(onnxfile.node(more[0], "z", "y", **more[1]))
    path.write_bytes(onnxfile.model(parts, [onnxfile.value("x", ["N", 3, 8, 8])], [onnxfile.value("y", ["N", 3])]))


@test
def scores_that_are_no_numbers_are_a_failure(dir):
    for name, offsets, more, says in [
        ("nan", (1, NAN, 2), None, "output 'y': 3 of 3 scores are no finite numbers, the first is class 0: nan"),
        ("inf", (1, INF, 2), None, "output 'y': 3 of 3 scores"),
        ("nothing", (-INF, -INF, -INF), None, "output 'y': 3 of 3 scores"),
    ]:
        write_means(dir / f"{name}.onnx", offsets=offsets, more=more)
        for backend in "ref", "cpu":
            for form in ["--json"], []:
                result = gpudl("run", *form, dir / f"{name}.onnx", dir / "gray.ppm", backend=backend)
                check(result.returncode == 1 and result.stdout == "", f"{name} on {backend}: {result}")
                check(f"gray.ppm: frame 0: {says}" in result.stderr, f"{name} on {backend}: {result.stderr}")
    write_means(dir / "ruled-out.onnx", offsets=(1, -INF, 2))
    result = gpudl("run", "--json", dir / "ruled-out.onnx", dir / "gray.ppm")
    check(result.returncode == 0, result)
    check([r["id"] for r in json.loads(result.stdout)["results"]] == [2, 0, 1], result.stdout)


@test
def each_row_of_frames_without_scores_is_told_once(dir):
    with open(dir / "mixed.y4m", "wb") as file:
        file.write(b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n")
        for gray in 128, 0, 0, 128, 0, 0, 0:
            file.write(b"FRAME\n" + bytes([gray]) * 256 + bytes([128]) * 128)
    parts = [  # 0 / 0 on black
        onnxfile.node("GlobalAveragePool", "x", "g"), onnxfile.node("Flatten", "g", "f"),
             onnxfile.node("Div", "f f", "y")]
    (dir / "black.onnx").write_bytes(onnxfile.model(parts, [onnxfile.value("x", ["N", 3, 8, 8])],
                                                    [onnxfile.value("y", ["N", 3])]))
    result = gpudl("run", "--json", dir / "black.onnx", dir / "mixed.y4m")
    check(result.returncode == 1, result)
    check([json.loads(line)["frame"] for line in result.stdout.splitlines()] == [0, 3], result.stdout)
    told = [line for line in result.stderr.splitlines() if "no finite numbers" in line]
    check(len(told) == 2 and "frame 1: " in told[0] and "frame 4: " in told[1], result.stderr)


@test
def what_is_broken_is_not_measured_nor_converted(dir):
    write_means(dir / "nan.onnx", offsets=(1, NAN, 2))
    result = gpudl("bench", "--seconds=0.1", "--backend=ref", dir / "nan.onnx")
    check(result.returncode == 1 and "no finite numbers" in result.stdout + result.stderr, result)
    result = gpudl("convert", dir / "nan.onnx", "-o", dir / "nan.bin")
    check_run(result, 1, "gpudl: convert: ")
    check("'y'" in result.stderr and "not finite" in result.stderr and not (dir / "nan.bin").exists(), result.stderr)


def prepare(dir):
    write_ppm(dir / "gray.ppm")


sys.exit(main(prepare))
