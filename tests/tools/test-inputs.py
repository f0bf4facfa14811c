#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-inputs.py GPUDL MAKE-MODEL TESTCARD STEPS: files that the gpudl command is given and that are not as they should
be: what is refused, in which words, and that nothing is lost by it."""
import json
import math
import os
import struct
import subprocess
import sys

import onnxfile
from cli import GPUDL, check, check_run, gpudl, main, test

NAN, INF = math.nan, math.inf


def write_ppm(path, rgb=(128, 128, 128), size=8):
    path.write_bytes(b"P6 %d %d 255\n" % (size, size) + bytes(rgb) * size * size)


def write_npy(path, values):
    header = repr({"descr": "<f4", "fortran_order": False, "shape": (len(values),)}).ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                     + struct.pack("<%df" % len(values), *values))


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
        ("own-softmax", (1, NAN, 2), ("Softmax", {"axis": 1}), "output 'y': 3 of 3 scores"),
        ("own-sigmoid", (1, 2, NAN), ("Sigmoid", {}), "output 'y': 1 of 3 scores are no finite numbers, the first is class 2"),
        ("relu", (1, 2, NAN), ("Relu", {}), "output 'y': 3 of 3 scores"),
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


@test
def what_cannot_be_used_is_told_by_every_command(dir):
    write_ppm(dir / "gray.ppm")
    dir = dir / "unusable"
    dir.mkdir()
    write_means(dir / "net.onnx")
    (dir / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "image_mean": ["a", 1, 2], "image_std": [1, 1, 1]}')
    note = f"note: {dir / 'net.onnx'}: image_mean in preprocessor_config.json is [\"a\",1,2], expected a list of one or three numbers: not used"
    for command in ["info"], ["run", dir.parent / "gray.ppm"], ["convert", "-o", dir / "noted.bin", "--backend=ref"]:
        result = gpudl(command[0], dir / "net.onnx", *command[1:], backend=None if command[0] == "info" else "ref")
        told = [line for line in result.stderr.splitlines() if "image_mean" in line]
        check(result.returncode == 0 and told == [f"gpudl: {command[0]}: {note.replace('net.onnx', 'noted.bin') if command[0] == 'convert' else note}"], result)


@test
def what_is_no_network_of_one_picture_is_told(dir):
    value, node = onnxfile.value, onnxfile.node
    weights = [value("w", [4, 3, 1, 1]), value("b", [4])]
    conv = [node("Conv", "x w b", "c"), node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "y")]
    flat = [node("Flatten", "x", "y")]
    concat = [node("Concat", "x z n/normalization_1/Sub/y:0 d s a", "c", axis=1), node("Flatten", "c", "y")]
    normalization = [value("n/normalization_1/Sub/y:0", []), value("d", [1, "e"])]
    default = onnxfile.constant("b", [4], (0, 0, 0, 0))  # of an input, as files of IR version 3 have it
    for name, parts, inputs, says in [
        ("no weights", conv, [value("x", ["N", 3, 8, 8]), *weights], "has 3 inputs, 'x' ?x3x8x8, 'w' 4x3x1x1, 'b' 4: exported without weights"),
        ("some weights", conv + [default], [value("x", [1, 3, 8, 8]), *weights], "has 2 inputs, 'x' 1x3x8x8, 'w' 4x3x1x1: exported without weights"),
        ("two inputs", [node("Add", "x z", "s"), node("Flatten", "s", "y")],
         [value("x", [1, 3, 8, 8]), value("z", [1, 3, 8, 8])], "has 2 inputs, 'x' 1x3x8x8, 'z' 1x3x8x8: expected one, a picture N x C x H x W. Export it again with the others as constants"),
        ("many inputs", concat, [value("x", ["N", 3, 8, 8]), value("z", None), *normalization, value("s", [1]), value("a", [1])],
         "has 6 inputs, 'x' ?x3x8x8, 'z' of an unknown shape, 'n/normalization_1/Sub/y:0' scalar, 'd' 1x? and 2 more: expected one, a picture N x C x H x W. "),
        ("of Keras, other names", [node("Add", "x image_normalization/y", "s"), node("Flatten", "s", "y")],
         [value("x", [1, 3, 8, 8]), value("image_normalization/y", [])], "has 2 inputs, 'x' 1x3x8x8, 'image_normalization/y' scalar: expected one, a picture N"),
        ("of Keras", concat, [value("x", ["N", 3, 8, 8]), value("z", None), *normalization, value("s", [1]), value("a", [1])],
         "has 6 inputs, 'x' ?x3x8x8, 'z' of an unknown shape, 'n/normalization_1/Sub/y:0' scalar, 'd' 1x? and 2 more: Keras' own export "
         "leaves the values of Normalization out. In Python: model.export('DIR'); then: python -m tf2onnx.convert"),
        ("no inputs", [node("Flatten", "b", "y"), default], [], "has no inputs: "),
        ("rank 2", flat, [value("x", ["N", 64])], "input 'x' has 2 dimensions, expected N x C x H x W"),
        ("rank 3", flat, [value("x", [3, 8, 8])], "input 'x' has 3 dimensions, expected N x C x H x W"),
        ("rank 3, no batch", flat, [value("x", [3, "h", "w"])], "input 'x' has 3 dimensions, expected N x C x H x W"),
        ("rank 5", flat, [value("x", [1, 3, 4, 8, 8])], "input 'x' has 5 dimensions, expected N x C x H x W"),
        ("rank 0", flat, [value("x", [])], "input 'x' has 0 dimensions, expected N x C x H x W"),
        ("free size", flat, [value("x", ["N", 3, "h", "w"])], "dimension 2 ('h') of input 'x' is free; "),
        ("free, no channels", flat, [value("x", ["N", "h", "w"])], "dimension 1 ('h') of input 'x' is free; "),
        ("free width", flat, [value("x", ["N", 8, "w", 3])], "dimension 2 ('w') of input 'x' is free; "),
    ]:
        path = dir / f"{name}.onnx"
        path.write_bytes(onnxfile.model(parts, inputs, [value("y", None)], producer="tf2onnx" if name.startswith("of Keras") else "pytorch"))
        for command in ["info"], ["run"]:
            result = gpudl(*command, path, *([dir / "gray.ppm"] if command == ["run"] else []))
            check_run(result, 1, f"gpudl: {command[0]}: {path}: {says}")
            check(("--input-size HxW" in result.stderr) == name.startswith("free"), result.stderr)
    check_run(gpudl("convert", "--input-size=8x6", dir / "free size.onnx", "-o", dir / "sized.bin", "--backend=ref"), 0,
              "gpudl: convert: note: nothing says how ")
    for command in ["info"], ["run"]:
        pictures = [dir / "gray.ppm"] if command == ["run"] else []
        check_run(gpudl(*command, "--input-size=8x6", dir / "free size.onnx", *pictures), 0,
                  f"gpudl: {command[0]}: note: nothing says how ")
        check_run(gpudl(*command, "--input-size=8", dir / "free size.onnx", *pictures, backend=None), 2,
                  f"gpudl: {command[0]}: --input-size: found '8'")
    for command in ["profile", "--runs=1"], ["bench", "--seconds=0.01", "--warmup=0"], ["tune", "--check"]:
        check_run(gpudl(*command, dir / "free size.onnx"), 1, f"gpudl: {command[0]}: {dir / 'free size.onnx'}: ")
        result = gpudl(*command, "--input-size=8x6", dir / "free size.onnx")
        check(result.returncode == 0 and "8x6" not in result.stderr, f"{command}: {result}")
        check_run(gpudl(*command, "--input-size=8", dir / "free size.onnx", backend=None), 2,
                  f"gpudl: {command[0]}: --input-size: found '8'")
    # a default is a value
    (dir / "good.onnx").write_bytes(onnxfile.model(flat + [default], [value("x", [1, 3, 8, 8]), weights[1]],
                                                   [value("y", None)]))
    check_run(gpudl("info", dir / "good.onnx"), 0, "gpudl: info: note: nothing says how ")


@test
def labels_come_as_they_are_meant_and_from_pipes(dir):
    (dir / "blanks.txt").write_bytes("\ufeff  cat\r\n\tdog \n\u00a0owl\u00a0\n\n".encode())
    for command in ('--labels-file "$0/blanks.txt"', '--labels-file <(cat "$0/blanks.txt")',
                    '--labels-file /dev/stdin < "$0/blanks.txt"', '--labels-file /dev/stdin'):
        script = f'"$1" run --json --backend=ref {command} "$0/net.bin" "$0/gray.ppm"'
        result = subprocess.run(["bash", "-c", f'cat "$0/blanks.txt" | {script}', dir, GPUDL], capture_output=True, text=True)
        check_run(result, 0)
        labels = {r["id"]: r["label"] for r in json.loads(result.stdout)["results"]}
        check(labels == {0: "cat", 1: "dog", 2: "owl"}, f"{command}: {labels}")
    script = '"$1" convert --backend=ref --labels <(cat "$0/blanks.txt") "$0/net.bin" -o "$0/owls.bin"'
    check_run(subprocess.run(["bash", "-c", script, dir, GPUDL], capture_output=True, text=True), 0)
    result = gpudl("run", "--json", dir / "owls.bin", dir / "gray.ppm")
    check({r["label"] for r in json.loads(result.stdout)["results"]} == {"cat", "dog", "owl"}, result.stdout)


@test
def the_labels_file_that_is_wrong_is_named(dir):
    (dir / "two.txt").write_text("a\nb\n")
    (dir / "latin.txt").write_bytes(b"gr\xfcn\n")
    for name, says in ("two.txt", "2 labels for model"), ("latin.txt", "is no text in UTF-8"), ("none.txt", "No such file"):
        for args in (["convert", dir / "net.bin", "-o", dir / "new.bin", "--backend=ref", "--labels", dir / name],
                     ["run", "--labels-file", dir / name, dir / "net.bin", dir / "gray.ppm"]):
            result = gpudl(*args)
            check_run(result, 1, f"gpudl: {args[0]}: ")
            check(f"{dir / name}: " in result.stderr and result.stderr.count("\n") == 1, result.stderr)
            check(args[0] == "run" or says in result.stderr, result.stderr)
    check(not (dir / "new.bin").exists())


@test
def short_options_take_their_values_as_posix_has_it(dir):
    model, picture = dir / "net.bin", dir / "gray.ppm"
    expected = gpudl("run", "--json", "--top-k=2", model, picture)
    check_run(expected, 0)
    check(len(json.loads(expected.stdout)["results"]) == 2, expected.stdout)
    for args in ["-k2"], ["-k", "2"], ["--top-k", "2"], ["-k5", "-k2"], ["-k2", "--"]:
        result = gpudl("run", "--json", *args, model, picture)
        check_run(result, 0)
        check(result.stdout == expected.stdout, f"{args}: {result.stdout}")
    check_run(gpudl("run", "-hk2"), 0)  # flags before it
    check_run(gpudl("run", "-k-2", model, picture), 2, "gpudl: run: --top-k: found '-2'")
    check_run(gpudl("run", "-k=2", model, picture), 2, "gpudl: run: --top-k: found '=2'")
    check_run(gpudl("run", "-x2", model, picture), 2, "gpudl: run: Unknown option -x2")
    check_run(gpudl("run", "-k"), 2, "gpudl: run: Missing argument for -k")
    for args in [f"-o{dir}/attached.bin"], ["-o", dir / "attached.bin"], [f"--output={dir}/attached.bin"]:
        (dir / "attached.bin").unlink(missing_ok=True)
        check_run(gpudl("convert", "--backend=ref", *args, model), 0)
        check((dir / "attached.bin").exists(), args)
    # what looks like an option is a value after one that wants it, and a file behind --
    check_run(gpudl("convert", "--backend=ref", "--mean", "-0.5,0,0", "-o", "-ofile", model, cwd=dir), 0)
    check((dir / "-ofile").exists())
    (dir / "-k2").write_bytes(picture.read_bytes())
    result = gpudl("run", "--json", model, "--", "-k2", cwd=dir)
    check_run(result, 0)
    check(json.loads(result.stdout)["file"] == "-k2" and len(json.loads(result.stdout)["results"]) == 3, result.stdout)
    (dir / "-k3").write_text("a\nb\nc\n")
    result = gpudl("run", "--json", "--labels-file", "-k3", model, picture, cwd=dir)
    check_run(result, 0)
    check({r["label"] for r in json.loads(result.stdout)["results"]} == {"a", "b", "c"}, result.stdout)
    check_run(gpudl("doctor", "--", "-x"), 2, "gpudl: doctor: takes no arguments; found '-x'")


@test
def numbers_are_whole_and_within_their_range(dir):
    for command, option, bad in [
        ("run", "top-k", ["-1", "-2147483648", "2147483648", "99999999999999999999", "1.5", "5x", "0x10", " 1", "", "nan"]),
        ("run", "threads", ["-1", "1025", "1e2", "two", ""]),
        ("run", "threshold", ["-0.1", "1.01", "nan", "inf", "0.5x", "0,5", ""]),
        ("profile", "top", ["-1", "2147483648", "x"]), ("profile", "batch", ["0", "-1", "4097", "2x", "1.0"]),
        ("profile", "runs", ["0", "-5", "100001", "many"]), ("profile", "threads", ["-1", "1025", "0x1"]),
        ("bench", "threads", ["-1", "1025", "1,-1", "x"]), ("bench", "batch", ["-1", "4097", "1,x"]),
        ("bench", "seconds", ["0", "-1", "nan", "inf", "1e9", "x"]), ("bench", "warmup", ["-1", "nan", "x"]),
        ("convert", "scale", ["-1", "nan", "0", "1e9", "255x"]), ("convert", "crop-fraction", ["0", "-1", "1.01", "nan"]),
        ("convert", "mean", ["nan", "1,2,inf", "x", "1,2"]), ("convert", "input-size", ["-8x8", "8x0", "8x9999", "8"]),
    ]:
        for value in bad:
            files = ["m", "-o", "x"] if command == "convert" else ["m", "f"] if command == "run" else ["m"]
            result = gpudl(command, f"--{option}={value}", *files, backend=None)
            check_run(result, 2, f"gpudl: {command}: --{option}: found '")
            check("expected " in result.stderr, result.stderr)
    result = gpudl("run", "--json", "--top-k=010", "--threads=1", dir / "net.bin", dir / "gray.ppm")
    check_run(result, 0)
    check(len(json.loads(gpudl("run", "--json", "--top-k=0", dir / "net.bin", dir / "gray.ppm").stdout)["results"]) == 3)


def links_to(dir, path):
    """The path by other names: with a way about, absolute and relative, through links of both kinds."""
    for name in "soft.link", "hard.link", "folder.link":
        (dir / name).unlink(missing_ok=True)
    (dir / "soft.link").symlink_to(path)
    (dir / "hard.link").hardlink_to(path)
    (dir / "folder.link").symlink_to(path.parent)
    return [path, f"{path.parent}/./{path.name}", os.path.relpath(path), dir / "soft.link", dir / "hard.link",
            dir / "folder.link" / path.name]


def write_external(path, data):
    """A network whose weights lie in another file."""
    def entry(key, value):
        return onnxfile.field(13, onnxfile.field(1, key) + onnxfile.field(2, value))

    weights = onnxfile.field(5, onnxfile.field(1, 3) + onnxfile.field(2, 1) + onnxfile.field(8, "m")
                             + entry("location", data.name) + onnxfile.field(14, 1))
    data.write_bytes(struct.pack("<3f", 1, 2, 3))
    path.write_bytes(onnxfile.model([onnxfile.node("GlobalAveragePool", "x", "g"), onnxfile.node("Flatten", "g", "f"),
                                     onnxfile.node("Mul", "f m", "y"), weights],
                                    [onnxfile.value("x", ["N", 3, 8, 8])], [onnxfile.value("y", ["N", 3])]))


@test
def no_input_is_written_over(dir):
    write_external(dir / "model.onnx", dir / "model.data")
    (dir / "labels.txt").write_text("a\nb\nc\n")
    write_npy(dir / "expect.npy", [128 / 255 * n for n in (1, 2, 3)])
    inputs = "model.onnx", "model.data", "labels.txt", "gray.ppm", "expect.npy"
    before = {name: (dir / name).read_bytes() for name in inputs}
    options = ["--labels", dir / "labels.txt", "--golden", (dir / "gray.ppm").as_uri(), "--expect", dir / "expect.npy"]
    check_run(gpudl("convert", dir / "model.onnx", *options, "-o", dir / "good.bin", "--backend=ref"), 0)
    for name in inputs:
        for path in links_to(dir, dir / name):
            result = gpudl("convert", dir / "model.onnx", *options, "-o", path, "--backend=ref")
            check_run(result, 1, "gpudl: convert: ")
            check(str(path) in result.stderr and "would be lost" in result.stderr, result.stderr)
            check(result.stderr.count("\n") == 1 and result.stdout == "", result)
            check(os.path.islink(path) == (str(path).endswith("soft.link")), path)
            check(all((dir / n).read_bytes() == before[n] for n in inputs), path)
            if name.startswith("model"):
                result = gpudl("profile", "--backend=cpu", "--runs=1", "--html", path, dir / "model.onnx")
                check_run(result, 1, "gpudl: profile: --html: ")
                check(str(path) in result.stderr and "would be lost" in result.stderr, result.stderr)
                check(all((dir / n).read_bytes() == before[n] for n in inputs), path)
    converted = (dir / "good.bin").read_bytes()
    check_run(gpudl("convert", dir / "good.bin", "-o", dir / "good.bin", "--backend=ref"), 1, "gpudl: convert: -o: ")
    check((dir / "good.bin").read_bytes() == converted)
    # what was converted before may be replaced
    check_run(gpudl("convert", dir / "model.onnx", "-o", dir / "good.bin", "--backend=ref"), 0,
              "gpudl: convert: note: nothing says how ")
    check((dir / "good.bin").read_bytes() != converted)


def prepare(dir):
    write_ppm(dir / "gray.ppm")


sys.exit(main(prepare))
