#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-cli.py GPUDL MAKE-MODEL TESTCARD STEPS: the gpudl command as a user meets it: options, exit codes, output, errors."""
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import onnxfile
from cli import COLORS, GPUDL, MAKE_MODEL, STEPS, TESTCARD, Skip, check, check_run, gpudl, main, test, write_png

MEDIA = Path(__file__).parent / "media"
COMMANDS = "convert", "info", "run", "eval", "profile", "bench", "tune", "doctor"


def write_y4m(path, frames):
    """A video without any encoder: frames are (Y, Cb, Cr) of 16x16 pictures."""
    with open(path, "wb") as file:
        file.write(b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n")
        for y, cb, cr in frames:
            file.write(b"FRAME\n" + bytes([y]) * 256 + bytes([cb]) * 64 + bytes([cr]) * 64)


def write_slow_onnx(path):
    """A network whose batch can only be proven by running it: two transposes hide that they change nothing, and the
    convolution takes the reference seconds."""
    path.write_bytes(onnxfile.model(
        [onnxfile.node("Conv", "x w", "c", pads=(3, 3, 3, 3)), onnxfile.node("GlobalAveragePool", "c", "p"),
         onnxfile.node("Transpose", "p", "t", perm=(1, 0, 2, 3)), onnxfile.node("Transpose", "t", "u", perm=(1, 0, 2, 3)),
         onnxfile.node("Flatten", "u", "y"), onnxfile.constant("w", (64, 3, 7, 7), bytes(64 * 147 * 4))],
        [onnxfile.value("x", (1, 3, 512, 512))], [onnxfile.value("y", None)]))


@test
def help_is_everywhere(dir):
    for args in ["--help"], ["-h"], ["help"]:
        result = gpudl(*args)
        check_run(result, 0)
        for command in COMMANDS:
            check(f"\n  {command} " in result.stdout, result.stdout)
    for command in COMMANDS:
        for args in [command, "--help"], [command, "-h"], ["help", command]:
            result = gpudl(*args, backend=None)
            check_run(result, 0)
            check(result.stdout.startswith(f"Usage:\n  gpudl {command} "), result.stdout)


@test
def version_is_told(dir):
    result = gpudl("--version")
    check_run(result, 0)
    check(result.stdout.startswith("gpudl ") and result.stdout.count("\n") == 1, result.stdout)


@test
def wrong_usage_is_exit_code_2(dir):
    check(gpudl().returncode == 2)
    for args, says in [
        (["nonsense"], "gpudl: unknown command 'nonsense'"),
        (["--nonsense"], "gpudl: unknown option '--nonsense'"),
        (["help", "nonsense"], "gpudl: unknown command 'nonsense'"),
        (["run", "--nonsense", "m", "f"], "gpudl: run: Unknown option --nonsense"),
        (["run"], "gpudl: run: no model given"),
        (["run", "m"], "gpudl: run: no picture or video given"),
        (["run", "--top-k", "-3", "m", "f"], "gpudl: run: --top-k: found '-3'"),
        (["run", "--top-k", "many", "m", "f"], "gpudl: run: "),
        (["run", "--threshold", "1.5", "m", "f"], "gpudl: run: --threshold: found '1.5'"),
        (["run", "--threads", "-1", "m", "f"], "gpudl: run: --threads: found '-1'"),
        (["run", "--precision", "fp7", "m", "f"], "gpudl: run: --precision: found 'fp7'"),
        (["info"], "gpudl: info: no model given"),
        (["info", "a", "b"], "gpudl: info: one model at a time; found 'b'"),
        (["info", "--nonsense"], "gpudl: info: Unknown option"),
        (["doctor", "x"], "gpudl: doctor: takes no arguments; found 'x'"),
        (["convert"], "gpudl: convert: no model file given"),
        (["convert", "m"], "gpudl: convert: -o FILE is missing"),
        (["convert", "m", "n", "-o", "x"], "gpudl: convert: one model file at a time; found 'n'"),
        (["convert", "m", "-o", "x", "--mean", "1,2"], "gpudl: convert: --mean: found '1,2'"),
        (["convert", "m", "-o", "x", "--std", "1,0,1"], "gpudl: convert: --std: found '1,0,1'"),
        (["convert", "m", "-o", "x", "--scale", "0"], "gpudl: convert: --scale: found '0'"),
        (["convert", "m", "-o", "x", "--channel-order", "gbr"], "gpudl: convert: --channel-order: found 'gbr'"),
        (["convert", "m", "-o", "x", "--resize-mode", "zoom"], "gpudl: convert: --resize-mode: found 'zoom'"),
        (["convert", "m", "-o", "x", "--scale-method", "x"], "gpudl: convert: --scale-method: found 'x'"),
        (["convert", "m", "-o", "x", "--crop-fraction", "2"], "gpudl: convert: --crop-fraction: found '2'"),
        (["convert", "m", "-o", "x", "--pad-color", "red"], "gpudl: convert: --pad-color: found 'red'"),
        (["convert", "m", "-o", "x", "--input-size", "224"], "gpudl: convert: --input-size: found '224'"),
        (["convert", "m", "-o", "x", "--activation", "relu"], "gpudl: convert: --activation: found 'relu'"),
        (["convert", "m", "-o", "x", "--expect", "e.npy"], "gpudl: convert: --expect needs --golden"),
        (["convert", "m", "-o", ""], "gpudl: convert: -o FILE is missing"),
        (["convert", "m", "-o", "x", "--backend", "abacus"], "gpudl: convert: --backend: found 'abacus'"),
        (["run", "--backend", "abacus", "m", "f"], "gpudl: run: --backend: found 'abacus', expected auto, cuda, cpu or"),
    ]:
        result = gpudl(*args, backend=None)
        check_run(result, 2, says)
        check(result.stdout == "" and "--help'" in result.stderr, f"{args}: {result.stdout}{result.stderr}")


@test
def pictures_are_classified(dir):
    for i, color in enumerate(COLORS):
        result = gpudl("run", "--json", dir / "net.bin", dir / f"{color}.png")
        check_run(result, 0)
        line = json.loads(result.stdout)
        check(list(line) == ["file", "frame", "pts", "results"], line)
        check(line["file"] == str(dir / f"{color}.png") and line["frame"] == 0, line)
        check([list(r) for r in line["results"]] == [["id", "label", "confidence"]] * 3, line)
        check(line["results"][0]["id"] == i, line)
        check(abs(line["results"][0]["confidence"] - 0.9999092) < 1e-5, line)
        check(abs(sum(r["confidence"] for r in line["results"]) - 1) < 1e-5, line)
    check(line["results"][0]["label"] == "bl\u00e4ulich", line)


@test
def the_readable_form_names_the_class(dir):
    result = gpudl("run", dir / "net.bin", dir / "red.png")
    check_run(result, 0)
    lines = result.stdout.splitlines()
    check(lines[0] == str(dir / "red.png") and len(lines) == 4, result.stdout)
    check(lines[1].split() == ["100.0", "%", "0", "red"], result.stdout)


@test
def every_frame_of_a_video_is_a_line_in_order(dir):
    red, blue = (76, 85, 255), (29, 255, 107)
    write_y4m(dir / "v.y4m", [red, blue] * 20)
    result = gpudl("run", "--json", "--top-k", "1", dir / "net.bin", dir / "v.y4m", dir / "red.png")
    check_run(result, 0)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    check([line["frame"] for line in lines] == [*range(40), 0], lines)
    check([line["results"][0]["id"] for line in lines] == [0, 2] * 20 + [0], lines)
    check([line["pts"] for line in lines[:40]] == [40000000 * i for i in range(40)], lines)
    check(all(len(line["results"]) == 1 for line in lines))
    readable = gpudl("run", dir / "net.bin", dir / "v.y4m").stdout.splitlines()
    check(len(readable) == 40 and "#39" in readable[39] and "0:00:01.560" in readable[39], readable)


@test
def a_picture_file_is_one_picture(dir):
    names = "still.gif", "animated.gif", "two-pictures.jpg"
    result = gpudl("run", "--json", dir / "net.bin", *[MEDIA / name for name in names])
    if "gdkpixbufdec is missing" in result.stderr:
        return
    check_run(result, 0)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    check([(Path(line["file"]).name, line["frame"], line["pts"]) for line in lines] == [(n, 0, None) for n in names], lines)
    readable = gpudl("run", dir / "net.bin", *[MEDIA / name for name in names])
    check([line for line in readable.stdout.splitlines() if line[0] != " "] == [str(MEDIA / n) for n in names], readable)


@test
def a_picture_without_its_end_is_said_to_be(dir):
    if "gdkpixbufdec is missing" in gpudl("run", dir / "net.bin", MEDIA / "still.gif").stderr:
        raise Skip("gdkpixbufdec is not installed")
    for name in "exif6.jpg", "animated.gif":
        whole = MEDIA / name
        check_run(gpudl("run", dir / "net.bin", whole), 0)
        (dir / name).write_bytes(whole.read_bytes()[:-30])
        check_run(gpudl("run", dir / "net.bin", dir / name), 0,
                  f"gpudl: run: note: {dir / name}: its end is missing: the picture may be incomplete\n")


@test
def results_do_not_wait_for_an_address(dir):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.jpg"
        with subprocess.Popen([GPUDL, "run", "--json", "--backend=ref", dir / "net.bin", dir / "red.png", address],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                ready, _, _ = select.select([process.stdout], [], [], 10)
                check(ready and json.loads(process.stdout.readline())["file"] == str(dir / "red.png"), "nothing for 10 s")
            finally:
                process.kill()


@test
def top_k_and_threshold_choose(dir):
    def results(*args):
        result = gpudl("run", "--json", *args, dir / "net.bin", dir / "red.png")
        check_run(result, 0)
        return json.loads(result.stdout)["results"]

    check(len(results("--top-k=0")) == 3)
    check(len(results("--top-k=2")) == 2)
    check(len(results("-k", "99")) == 3)
    check([r["id"] for r in results("--threshold=0.5")] == [0])
    check(results("--threshold=1") == [])


@test
def a_failing_file_does_not_stop_the_others(dir):
    (dir / "text.png").write_text("not a picture at all")
    result = gpudl("run", "--json", dir / "net.bin", dir / "red.png", dir / "none.png", dir / "text.png", dir,
                   dir / "blue.png")
    check_run(result, 1, f"gpudl: run: {dir}/none.png: no such file\n")
    errors = result.stderr.splitlines()
    check(len(errors) == 3, errors)
    check(errors[1] == f"gpudl: run: {dir}/text.png: not a picture or video", errors)
    check(errors[2] == f"gpudl: run: {dir}: is a directory, not a picture or video", errors)
    check([json.loads(line)["results"][0]["id"] for line in result.stdout.splitlines()] == [0, 2], result.stdout)


@test
def labels_can_be_replaced(dir):
    (dir / "own.txt").write_text("rot\ngr\u00fcn\nblau\n")
    (dir / "two.txt").write_text("a\nb\n")
    result = gpudl("run", "--json", "--labels-file", dir / "own.txt", dir / "net.bin", dir / "green.png")
    check(json.loads(result.stdout)["results"][0]["label"] == "gr\u00fcn", result.stdout)
    result = gpudl("run", "--labels-file", dir / "two.txt", dir / "net.bin", dir / "green.png")
    check_run(result, 1, f"gpudl: run: {dir}/two.txt: has 2 labels, expected 3")


@test
def what_a_bare_model_lacks_is_said(dir):
    result = gpudl("run", "--json", dir / "bare.bin", dir / "green.png")
    check_run(result, 0, f"gpudl: run: note: nothing says how {dir}/bare.bin wants its pixels")
    check(json.loads(result.stdout)["results"][0]["label"] == "1", result.stdout)


@test
def pixels_are_as_the_options_say(dir):
    def answer(*args):
        result = gpudl("run", "--json", "-k1", *args)
        check(result.returncode == 0, result.stderr)
        return json.loads(result.stdout)["results"][0], result.stderr

    for model in "net.bin", "bare.bin":
        found, said = answer("--channel-order=bgr", dir / model, dir / "red.png")
        check(found["id"] == 2, (model, found))
        check(model == "net.bin" or "wants its pixels; assumed" in said and "channel-order" not in said.split("assumed")[1].split(". ")[0], said)
    # red is (1 - 0.5) / 5 times ten, the others -1: exp(1) of exp(1) + 2 exp(-1)
    found, _ = answer("--mean=0.5", "--std=5", dir / "net.bin", dir / "red.png")
    check(found["id"] == 0 and abs(found["confidence"] - 0.78699) < 1e-4, found)
    found, _ = answer("--scale=51000", dir / "net.bin", dir / "red.png")
    check(abs(found["confidence"] - 0.34454) < 1e-4, found)
    check_run(gpudl("run", "--resize-mode=zoom", dir / "net.bin", dir / "red.png"), 2, "gpudl: run: --resize-mode: found 'zoom', expected ")


@test
def odd_file_names_make_valid_json(dir):
    for name in [b'a "quoted" \\ name.png', b"new\nline.png", b"latin1-\xe9.png", b"#%20 percent.png"]:
        path = os.path.join(os.fsencode(dir), name)
        write_png(Path(os.fsdecode(path)), COLORS["red"])
        done = subprocess.run([GPUDL, "run", "--json", "--backend=ref", dir / "net.bin", path], capture_output=True)
        check(done.returncode == 0, done.stderr)
        line = json.loads(done.stdout.decode("utf-8"))
        check(line["file"] == path.decode("utf-8", "replace") and line["results"][0]["id"] == 0, line)


@test
def an_empty_name_is_said_to_be_empty(dir):
    net = dir / "net.bin"
    for args in ["info", ""], ["run", "", dir / "red.png"], ["run", net, ""], ["convert", "", "-o", dir / "out.bin"], ["eval", net, ""], \
            ["bench", ""], ["run", "--labels-file=", net, dir / "red.png"]:
        check_run(gpudl(*args), 1, f"gpudl: {args[0]}: '': an empty name was given, expected that of a ")


@test
def names_that_are_no_utf8_do_no_harm(dir):
    odd = os.fsencode(dir) + b"/latin1-\xe9"
    write_png(Path(os.fsdecode(odd + b".png")), COLORS["red"])
    for kind, source in (b".onnx", TESTCARD / "testcard.onnx"), (b".bin", dir / "net.bin"):
        Path(os.fsdecode(odd + kind)).write_bytes(source.read_bytes())
        for of in [odd + kind], [odd + kind, "--golden", odd + b".png"]:
            done = subprocess.run([GPUDL, "convert", "--backend=ref", *of, "-o", dir / "odd.bin"], capture_output=True)
            check(done.returncode == 0, done.stderr)
            for file in odd + kind, dir / "odd.bin":
                done = subprocess.run([GPUDL, "info", "--json", file], capture_output=True)
                check(done.returncode == 0 and done.stderr == b"", (file, done.returncode, done.stderr))
                told = json.loads(done.stdout.decode("utf-8"))["model"]
                if kind == b".onnx":
                    check((told["name"], told["source_file"]) == ("latin1-\ufffd", "latin1-\ufffd.onnx"), told)
        check(told["golden"] == "picture latin1-\ufffd.png", told)


@test
def bad_models_are_one_error(dir):
    (dir / "empty.bin").write_bytes(b"")
    (dir / "text.bin").write_text("hello")
    (dir / "cut.bin").write_bytes((dir / "net.bin").read_bytes()[:200])
    for name in "none.bin", "empty.bin", "text.bin", "cut.bin", ".":
        for args in ["run", dir / name, dir / "red.png"], ["info", dir / name], \
                ["convert", dir / name, "-o", dir / "out.bin", "--backend=ref"]:
            result = gpudl(*args)
            check_run(result, 1, f"gpudl: {args[0]}: {dir / name}")
            check(result.stderr.count("\n") == 1 and result.stdout == "", result.stderr + result.stdout)
    check(not (dir / "out.bin").exists())


def write_npy(path, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(values)},), }}"
    header += " " * (117 - len(header)) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                     + struct.pack(f"<{len(values)}f", *values))


@test
def convert_proves_and_writes(dir):
    said = (TESTCARD / "testcard.onnx").read_bytes()
    # metadata comes last, its first entry behind four bytes of tags and lengths
    (dir / "bare.onnx").write_bytes(said[:said.index(b"gpudl.") - 4])
    result = gpudl("convert", dir / "bare.onnx", "-o", dir / "card.bin", "--backend", "ref", "--labels",
                   TESTCARD / "labels.txt", "--golden", dir / "red.png", "--activation", "none")
    check_run(result, 0, f"gpudl: convert: note: nothing says how {dir}/card.bin wants its pixels; assumed is RGB "
              "(channel-order), values within 0 and 1 (mean, std, scale), the whole picture stretched (resize-mode). ")
    check(result.stdout.startswith(f"{dir}/card.bin: bare, 19 classes, "), result.stdout)
    check(", 9 inputs: max difference " in result.stdout, result.stdout)
    line = json.loads(gpudl("run", "--json", "-k", "0", dir / "card.bin", dir / "red.png").stdout)
    check(line["results"][0]["label"] == "red" and len(line["results"]) == 19, line)
    told = json.loads(gpudl("info", "--json", dir / "card.bin").stdout)
    check("red.png" in told["model"]["golden"] and told["model"]["activation"] == "none", told)


@test
def what_options_leave_open_is_said(dir):
    """At once and of the net.bin that keeps what they said, by each command that shows what a network answers."""
    order, values, whole = "RGB (channel-order)", "values within 0 and 1 (mean, std, scale)", "the whole picture stretched (resize-mode)"
    for options, assumed in [
        (["--mean=0.1,0.2,0.3"], [order, whole]),
        (["--std=2"], [order, whole]),
        (["--scale=1"], [order, whole]),
        (["--channel-order=bgr"], [values, whole]),
        (["--resize-mode=center-crop"], [order, values]),
        (["--mean=1", "--channel-order=rgb"], [whole]),
        (["--scale=1", "--channel-order=rgb", "--resize-mode=stretch"], []),
    ]:
        def said(command, file):
            return f"gpudl: {command}: note: nothing says all of how {file} wants its pixels; assumed is {', '.join(assumed)}. 'gpudl " \
                "convert' with these options writes down what is right\n" if assumed else None

        net, bare = dir / "part.bin", dir / "bare.onnx"
        check_run(gpudl("convert", bare, "-o", net, "--backend=ref", *options), 0, said("convert", net))
        check_run(gpudl("run", *options, bare, dir / "red.png"), 0, said("run", bare))
        check_run(gpudl("run", net, dir / "red.png"), 0, said("run", net))
        told = gpudl("info", "--json", net)
        check_run(told, 0, said("info", net))
        told = json.loads(told.stdout)["preprocessing"]
        check(told["known"] == (not assumed) and told.get("assumed", "") == ", ".join(assumed), told)
    # the advice is good for a net.bin, too
    check_run(gpudl("convert", dir / "card.bin", "-o", net, "--backend=ref", "--scale=255", "--channel-order=rgb", "--resize-mode=stretch"), 0)
    check(json.loads(gpudl("info", "--json", net).stdout)["preprocessing"]["known"])


@test
def convert_loads_what_it_wrote(dir):
    (dir / "odd.bin.modelinfo").write_text("broken")
    check_run(gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "odd.bin", "--backend=ref"), 1,
              f"gpudl: convert: {dir}/odd.bin.modelinfo: is no .modelinfo: ")


@test
def convert_takes_and_refuses_expected_values(dir):
    def convert(values, name):
        write_npy(dir / "expect.npy", values)
        return gpudl("convert", dir / "bare.onnx", "-o", dir / name, "--backend", "ref", "--golden",
                     dir / "red.png", "--expect", dir / "expect.npy")

    line = json.loads(gpudl("run", "--json", "-k", "0", dir / "card.bin", dir / "red.png").stdout)
    right = [r["confidence"] for r in sorted(line["results"], key=lambda r: r["id"])]
    check_run(convert(right, "right.bin"), 0)
    for wrong in right[::-1], right[:-1], right + [0.0]:
        check_run(convert(wrong, "wrong.bin"), 1, "gpudl: convert: ")
    check((dir / "right.bin").exists() and not (dir / "wrong.bin").exists())
    # the values prove what was assumed
    check(json.loads(gpudl("info", "--json", dir / "right.bin").stdout)["preprocessing"]["known"])


@test
def convert_options_reach_the_model(dir):
    result = gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "o.bin", "--backend", "ref", "--mean", "0.1,0.2,0.3",
                   "--std", "2", "--scale", "1", "--channel-order", "bgr", "--resize-mode", "letterbox",
                   "--scale-method", "bilinear-aliased", "--crop-fraction", "0.5", "--pad-color", "102030")
    check_run(result, 0)
    told = json.loads(gpudl("info", "--json", dir / "o.bin").stdout)["preprocessing"]
    for key, value in {"mean": [0.1, 0.2, 0.3], "std": [2, 2, 2], "pixel_scale": 1, "channel_order": "bgr",
                       "resize_mode": "letterbox", "scale_method": "bilinear-aliased", "crop_fraction": 0.5,
                       "pad_color": "0x102030"}.items():
        check(told[key] == value, f"{key}: {told[key]}, expected {value}")


@test
def expected_values_have_to_be_numbers(dir):
    for value in float("nan"), float("inf"):
        write_npy(dir / "expect.npy", [value] + [0.0] * 18)
        result = gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "wrong.bin", "--backend", "ref", "--golden",
                       dir / "red.png", "--expect", dir / "expect.npy")
        check_run(result, 1, f"gpudl: convert: {TESTCARD}/testcard.onnx: {value} is expected of the golden picture")


@test
def pipes_are_not_waited_for(dir):
    os.mkfifo(dir / "fifo")
    check_run(gpudl("run", dir / "fifo", dir / "red.png"), 1, f"gpudl: run: {dir}/fifo: is not a regular file")
    check_run(gpudl("run", dir / "net.bin", dir / "fifo"), 1, f"gpudl: run: {dir}/fifo: is a pipe, expected a file")
    check_run(gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "wrong.bin", "--golden", dir / "red.png",
                    "--expect", dir / "fifo"), 1, f"gpudl: convert: {dir}/fifo: is not a regular file")


@test
def only_a_file_is_replaced(dir):
    os.mkfifo(dir / "pipe.bin")
    (dir / "folder.bin").mkdir()
    for name, why in ("pipe.bin", "is not a regular file"), ("folder.bin", "is a directory"), ("folder.bin/", "expected"):
        result = gpudl("convert", dir / "net.bin", "-o", f"{dir}/{name}", "--backend", "ref")
        check_run(result, 1, f"gpudl: convert: {dir}/{name}: can't be written: {why}")
    check((dir / "pipe.bin").is_fifo() and (dir / "folder.bin").is_dir())


@test
def convert_does_not_leave_half_a_file(dir):
    result = gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "none" / "x.bin", "--backend", "ref")
    check_run(result, 1, f"gpudl: convert: {dir}/none/x.bin: can't be written: folder {dir}/none: No such file")
    result = gpudl("convert", TESTCARD / "testcard.onnx", "-o", dir / "x.bin", "--backend", "ref", "--labels",
                   dir / "two.txt")
    check_run(result, 1, "gpudl: convert: ")
    check("2" in result.stderr and "19" in result.stderr and not (dir / "x.bin").exists(), result.stderr)


@test
def info_tells_what_is_inside(dir):
    result = gpudl("info", "--json", "--layers", dir / "net.bin")
    check_run(result, 0)
    told = json.loads(result.stdout)
    check(told["model"]["name"] == "three colours" and told["model"]["parameters"] == 9, told)
    check(told["inputs"][0]["shape"] == [1, 3, 8, 8] and len(told["layers"]) >= 2, told)
    check("layers" not in json.loads(gpudl("info", "--json", dir / "net.bin").stdout))
    readable = gpudl("info", "--layers", dir / "net.bin")
    check_run(readable, 0)
    for text in "three colours", "1x3x8x8", "times-ten", told["model"]["id"]:
        check(text in readable.stdout, readable.stdout)
    check("Layers" in readable.stdout and "Layers" not in gpudl("info", dir / "net.bin").stdout)


@test
def info_tells_what_a_session_takes_of_memory(dir):
    result = gpudl("bench", "--json", "--backend=cpu", "--seconds=0.05", dir / "net.bin")
    measured = json.loads(result.stdout)["results"][0]
    told = json.loads(gpudl("info", "--json", dir / "net.bin").stdout)
    if not measured["measured"]:
        check("cpu_session" not in told, told)
    elif "cuda_session" not in told:
        session = told["cpu_session"]
        check(all(session[k] == measured[k] for k in ("precision", "weight_bytes", "work_bytes")), (session, measured))
        check(session["total_bytes"] == session["weight_bytes"] + session["work_bytes"], session)
        check("\nCpu session\n  precision " in gpudl("info", dir / "net.bin").stdout)


@test
def info_says_what_it_would_run_in_here(dir):
    def here(**environment):
        result = gpudl("info", dir / "net.bin", env={**os.environ, **environment})
        check_run(result, 0)
        return re.search(r"\nHere\n  precision +(\S+)\n  device +(.+)\n$", result.stdout)

    found = here()
    check(found, "no section")
    if " bf16, " in found[2] or " fp32, " in found[2]:  # the processor
        check(f", {found[1]}, " in found[2], found[0])
        check(here(ONEDNN_MAX_CPU_ISA="AVX2")[1] == "fp32")
    check(here(GPUDL_BACKEND_PATH=str(dir)) is None, "there is nothing to run on")


@test
def an_id_that_is_not_the_contents_is_told(dir):
    true = json.loads(gpudl("info", "--json", dir / "net.bin").stdout)["model"]
    check(len(true["id"]) == 64 and "false_id" not in true, true)
    file = bytearray((dir / "net.bin").read_bytes())
    check(file[24:56].hex() == true["id"], true)
    file[24] ^= 1  # bytes 120..127 are a checksum of the header that nobody here can make: the writer's has to do
    (dir / "forged.bin").write_bytes(file)
    check_run(gpudl("info", dir / "forged.bin"), 1, f"gpudl: info: {dir}/forged.bin: damaged")
    subprocess.run([MAKE_MODEL, dir / "forged.bin", "forged"], check=True)
    result = gpudl("info", "--json", dir / "forged.bin")
    model = json.loads(result.stdout)["model"]
    check(model["id"] == true["id"] and model["false_id"] == "00" * 32, model)
    check_run(result, 0, f"gpudl: info: note: the header of {dir}/forged.bin says id {'00' * 32}, its content has")


@test
def ctrl_c_ends_what_takes_long(dir):
    folder = dir / "slow"
    folder.mkdir()
    write_slow_onnx(folder / "slow.onnx")
    for args, says in [
        (["info", folder / "slow.onnx"], "gpudl: info: interrupted\n"),
        (["run", "--backend=ref", folder / "slow.onnx", dir / "red.png"], "gpudl: run: interrupted\n"),
        (["convert", folder / "slow.onnx", "-o", folder / "out.bin", "--backend=ref"],
         "gpudl: convert: interrupted: nothing was written\n"),
    ]:
        process = subprocess.Popen([GPUDL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        check(process.poll() is None, f"{args} has ended by itself")
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        stdout, stderr = process.communicate(timeout=60)
        check(time.monotonic() - begin < 1, f"{args} ended after {time.monotonic() - begin} s")
        check(process.returncode == 130 and stderr == says and stdout == "",
              f"{args}: exit code {process.returncode}, {stderr}{stdout}")
        check([f.name for f in folder.iterdir()] == ["slow.onnx"], [*folder.iterdir()])


@test
def output_that_cannot_be_written_is_a_failure(dir):
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "w") as full:
        for args in ["run", "--backend=ref", dir / "net.bin", dir / "red.png"], ["info", dir / "net.bin"], ["--help"]:
            done = subprocess.run([GPUDL, *args], stdout=full, stderr=subprocess.PIPE, text=True)
            check(done.returncode == 1 and "output can't be written" in done.stderr, f"{args}: {done.stderr}")


@test
def a_closed_pipe_is_no_complaint(dir):
    write_y4m(dir / "long.y4m", [(76, 85, 255)] * 500)
    done = subprocess.run(f"'{GPUDL}' run --json --backend=ref '{dir}/net.bin' '{dir}/long.y4m' | head -n 1", shell=True,
                          capture_output=True, text=True, timeout=60)
    check(json.loads(done.stdout)["frame"] == 0 and done.stderr == "", done.stderr)


@test
def doctor_tells_what_is_there(dir):
    result = gpudl("doctor")
    check(result.returncode in (0, 1), result.stderr)
    for text in "Backends", "ref", "GStreamer", "gpudlinfer", "JPEG pictures", "H.264 video", "NVIDIA driver":
        check(text in result.stdout, result.stdout)
    cpu = [line.split() for line in result.stdout.splitlines() if line.split()[1:2] == ["cpu"]]
    usable = any(line[0] == "ok" for line in cpu) or " cuda " in result.stdout and "ok      cuda" in result.stdout
    check(result.returncode == (0 if usable else 1), result.stdout)


@test
def doctor_lists_devices(dir):
    lines = [line.split() for line in gpudl("doctor", env=STEPS).stdout.splitlines()]
    check(["cpu", "0", "Stepper", "\ufffd[31mX", "80.00", "GB", "79.50", "GB", "0000:65:00.0", "9.0"] in lines, lines)
    check(["cuda", "1", "Stepper", "Y", "-", "-", "-", "-"] in lines, lines)
    nothing = gpudl("doctor", env={**os.environ, "GPUDL_BACKEND_PATH": str(dir)}).stdout
    check("Devices\n  none\n" in nothing, nothing)


@test
def a_name_does_not_steer_the_terminal(dir):
    shown = gpudl("info", "--layers", dir / "net.bin").stdout
    check("\ufffd[31m" in shown and "\x1b" not in shown, shown)
    (dir / "steering.txt").write_text("\x1b[2J\nb\nc\n")
    shown = gpudl("run", "--labels-file", dir / "steering.txt", dir / "net.bin", dir / "red.png").stdout
    check("\ufffd[2J" in shown and "\x1b" not in shown, shown)
    check_run(gpudl("info", "\x1b[2J.bin"), 1, "gpudl: info: \ufffd[2J.bin: ")


@test
def doctor_fails_without_a_backend(dir):
    result = gpudl("doctor", env={**os.environ, "GPUDL_BACKEND_PATH": str(dir)})
    check_run(result, 1)
    check("no backend is usable" in result.stdout, result.stdout)


def prepare(dir):
    subprocess.run([MAKE_MODEL, dir / "bare.bin", "bare"], check=True)
    for color, rgb in COLORS.items():
        write_png(dir / f"{color}.png", rgb)


sys.exit(main(prepare))
