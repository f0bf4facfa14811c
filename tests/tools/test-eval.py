#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-eval.py GPUDL MAKE-MODEL TESTCARD STEPS: gpudl eval on pictures whose answers are known by arithmetic."""
import csv
import gzip
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import onnxfile
from cli import COLORS, GPUDL, MAKE_MODEL, check, check_run, gpudl, main, test, write_png

MEDIA = Path(__file__).parent / "media"
# of the network of three colours: the probability of a picture's colour, and of each other
RIGHT = 1 / (1 + 2 * math.exp(-10))
WRONG = math.exp(-10) * RIGHT


def fill(folder, colors):
    """Pictures of these colours, called after them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, color in enumerate(colors):
        write_png(folder / f"{color}-{i}.png", COLORS[color])
    return folder


def photos(dir):
    """Six pictures in folders that are the network's names, written otherwise; the blue one of the first is wrong."""
    root = dir / "photos"
    if not root.exists():
        fill(root / "RED", ["red", "blue", "red"])
        fill(root / 'Green_"grass"', ["green"])
        fill(root / 'Green_"grass"' / "deeper", ["green"])
        fill(root / "BLA\u0308ULICH", ["blue"])
        (root / "RED" / "notes.txt").write_text("no picture")
        (root / ".hidden").mkdir()
    return root


def write_network(path, rows, end=None):
    """Scores are the mean of each channel times a row, ten of each."""
    parts = [onnxfile.node("GlobalAveragePool", "x", "p"), onnxfile.node("Conv", "p w", "c"),
             onnxfile.node("Flatten", "c", "f" if end else "y"),
             onnxfile.constant("w", (len(rows), 3, 1, 1), [10.0 * v for row in rows for v in row])]
    if end:
        parts.append(onnxfile.node(end, "f", "y"))
    path.write_bytes(onnxfile.model(parts, [onnxfile.value("x", (1, 3, 8, 8))], [onnxfile.value("y", (1, len(rows)))]))
    return path


def evaluate(*args, code=0, stderr=None):
    result = gpudl("eval", "--json", *args)
    check_run(result, code, stderr)
    return json.loads(result.stdout)


def near(a, b, bound=1e-5):
    return abs(a - b) <= bound


@test
def wrong_usage_is_exit_code_2(dir):
    for args, says in [
        (["eval"], "gpudl: eval: no model given"),
        (["eval", "m"], "gpudl: eval: no data set given"),
        (["eval", "m", "d", "e"], "gpudl: eval: one data set at a time; found 'e'"),
        (["eval", "--top=-1", "m", "d"], "gpudl: eval: --top: found '-1'"),
        (["eval", "--against-backend=abacus", "m", "d"], "gpudl: eval: --against-backend: found 'abacus'"),
        (["eval", "--against-precision=fp7", "m", "d"], "gpudl: eval: --against-precision: found 'fp7'"),
        (["eval", "--confusion=x.jpg", "m", "d"], "gpudl: eval: --confusion: found 'x.jpg', expected a file whose name"),
        (["eval", "--std=0", "m", "d"], "gpudl: eval: --std: found '0'"),
    ]:
        check_run(gpudl(*args), 2, says)


@test
def figures_of_folders_are_those_of_arithmetic(dir):
    told = evaluate(dir / "net.bin", photos(dir),
                    stderr=f"gpudl: eval: note: {dir}/photos: 1 file in it")
    check(told["dataset"] == {"path": str(dir / "photos"), "kind": "folders", "pictures": 6, "classes": 3,
                              "matched_by": "name"}, told["dataset"])
    check(told["judged"] == 6 and told["failures"] == [] and "comparison" not in told, told)
    (one,) = told["results"]
    check(one["backend"] == "ref" and one["precision"] == "fp32" and one["model"]["name"] == "three colours", one)
    check(near(one["top1"], 5 / 6) and one["top5"] == 1, one)
    # Wilson's interval of 5 in 6, by hand
    check(near(one["top1_low"], 0.436497, 1e-4) and near(one["top1_high"], 0.969947, 1e-4), one)
    check(near(one["loss"], (-5 * math.log(RIGHT) - math.log(WRONG)) / 6), one)
    check(near(one["confidence"], RIGHT) and near(one["margin"], RIGHT - WRONG), one)
    check(near(one["calibration_error"], RIGHT - 5 / 6), one)
    check(len(one["calibration"]) == 15 and one["calibration"][14]["pictures"] == 6
          and sum(b["pictures"] for b in one["calibration"]) == 6, one["calibration"])
    check([(c["id"], c["pictures"], c["answered"]) for c in one["classes"]] == [(0, 3, 2), (1, 2, 2), (2, 1, 2)],
          one["classes"])
    check(near(one["classes"][0]["top1"], 2 / 3) and one["classes"][0]["label"] == "red", one["classes"])
    check(one["confusions"] == [{"truth": 0, "answer": 2, "pictures": 1}], one["confusions"])


@test
def the_readable_form_says_the_same(dir):
    result = gpudl("eval", dir / "net.bin", photos(dir))
    check(result.returncode == 0, result.stderr)
    lines = result.stdout.splitlines()
    check(lines[0].startswith(f"{dir}/photos: 6 pictures of 6, 3 classes found by name; "), lines[0])
    check(["top-1", "83.33", "%"] in [line.split() for line in lines], result.stdout)
    check(not any("top-5" in line for line in lines), result.stdout)  # of three classes it says nothing
    check(lines[lines.index("classes, the worst first") + 2].split()[:5] == ["3", "66.67", "%", "2", "0"], result.stdout)
    check(lines[lines.index("most frequent confusions") + 2].split()[:3] == ["1", "0", "red"], result.stdout)
    short = gpudl("eval", "--top=1", dir / "net.bin", photos(dir)).stdout
    check("  and 2 more (--top=0)" in short, short)


@test
def pictures_that_can_t_be_read_are_named_and_left_out(dir):
    root = fill(dir / "broken" / "red", ["red"]).parent
    (root / "red" / "empty.png").touch()
    (root / "red" / "text.jpg").write_text("this is no picture at all")
    result = gpudl("eval", "--json", dir / "net.bin", root)
    told = json.loads(result.stdout)
    check(result.returncode == 1, result)
    check(result.stderr.splitlines() == [f"gpudl: eval: {said}" for said in told["failures"]], result.stderr)
    check([said.split(": ")[0] for said in told["failures"]] == [f"{root}/red/empty.png", f"{root}/red/text.jpg"], told)
    check(told["judged"] == 1 and told["results"][0]["top1"] == 1, told)
    (root / "red" / "red-0.png").unlink()
    result = gpudl("eval", dir / "net.bin", root)
    check(result.returncode == 1 and "0 pictures of 2" in result.stdout and "nan" not in result.stdout, result.stdout)
    told = json.loads(gpudl("eval", "--json", dir / "net.bin", root).stdout)
    check(told["results"][0]["top1"] is None and told["results"][0]["loss"] is None, told)


@test
def lists_are_taken(dir):
    fill(dir / "in lists", ["red", "green", "blue"])
    names = [f"in lists/{color}-{i}.png" for i, color in enumerate(COLORS)]
    quoted = '"green ""grass"""'
    for name, text in {
        "blank.txt": f"{names[0]} 0\n{names[1]} 1\n\n{names[2]} 2\n",
        "tab.txt": f"\ufeff{names[0]}\tred\r\n{names[1]}\tgreen \"grass\"\r\n{names[2]}\tbl\u00e4ulich\r\n",
        "table.csv": f"path,label,more\n\"{names[0]}\",Red,x\n{names[1]},{quoted}\n{dir}/{names[2]} , bl\u00c4ulich\n",
    }.items():
        (dir / name).write_text(text)
        told = evaluate(dir / "net.bin", dir / name)
        check(told["judged"] == 3 and told["results"][0]["top1"] == 1 and told["dataset"]["kind"] == "list", told)
        check(told["dataset"]["matched_by"] == ("number" if name == "blank.txt" else "name"), told)
    # the first column's name is none that is there
    shutil.copy(dir / names[0], dir / "red0")
    for text in "red0,0\nred0,0\n", "file,label\nred0,0\nred0,0\n":
        (dir / "bare.csv").write_text(text)
        check(evaluate(dir / "net.bin", dir / "bare.csv")["judged"] == 2)
    (dir / "bare.csv").write_text("red0,0\nred1,0\n")
    evaluate(dir / "net.bin", dir / "bare.csv", code=1, stderr=f"gpudl: eval: {dir}/red1: no such file")
    (dir / "packed.csv.gz").write_bytes(gzip.compress((dir / "table.csv").read_bytes()))
    check(evaluate(dir / "net.bin", dir / "packed.csv.gz")["judged"] == 3)
    for text, says in [("a.png\n", "line 1: found 'a.png', expected a picture's path, a tab or blank, and its class"),
                       ("\n\n", "has no lines with a picture and its class"), ("", "is empty, expected a folder"),
                       ("a.png 0\nb.png\n", "line 2: found 'b.png'")]:
        (dir / "bad.txt").write_text(text)
        check_run(gpudl("eval", dir / "net.bin", dir / "bad.txt"), 1, f"gpudl: eval: {dir}/bad.txt: {says}")
    # from whatever folder the command is started
    for cwd, path in (dir, "tab.txt"), (dir, "./tab.txt"), (dir / "in lists", "../tab.txt"), ("/", dir / "tab.txt"):
        told = json.loads(gpudl("eval", "--json", dir / "net.bin", path, cwd=cwd).stdout)
        check(told["judged"] == 3 and told["results"][0]["top1"] == 1, told)
    (dir / "gone.txt").write_text("gone.png 0\nin lists/red-0.png 0\n")
    evaluate(dir / "net.bin", dir / "gone.txt", code=1, stderr=f"gpudl: eval: {dir}/gone.png: no such file")


@test
def classes_that_are_not_known_are_told(dir):
    fill(dir / "words" / "red", ["red"])
    fill(dir / "words" / "mauve", ["blue"])
    check_run(gpudl("eval", dir / "net.bin", dir / "words"), 1,
              f"gpudl: eval: {dir}/words: class 'mauve', of 2, not known to the network: expected numbers 0 to 2 or the "
              "network's names: 'red', 'green \"grass\"', 'bl\u00e4ulich'. --class-names=FILE takes")
    (dir / "one.txt").write_text("a.png 1\nb.png 3\n")
    check_run(gpudl("eval", dir / "net.bin", dir / "one.txt"), 1, f"gpudl: eval: {dir}/one.txt: class '3', of 2, not known")
    (dir / "names.txt").write_text("red\nwhatever\nmauve\n")
    told = evaluate(f"--class-names={dir}/names.txt", dir / "net.bin", dir / "words")
    check(told["results"][0]["top1"] == 1 and told["results"][0]["classes"][1]["label"] == "bl\u00e4ulich", told)
    (dir / "names.txt").write_text("red\nmauve\n")
    check_run(gpudl("eval", f"--class-names={dir}/names.txt", dir / "net.bin", dir / "words"), 1,
              f"gpudl: eval: {dir}/names.txt: has 2 names, expected 3, the classes of ")
    (dir / "names.txt").write_text("red\nmauve\nmauve\n")
    check_run(gpudl("eval", f"--class-names={dir}/names.txt", dir / "net.bin", dir / "words"), 1,
              f"gpudl: eval: {dir}/words: class 'mauve', of 2, is what several of the network's classes are called")
    # what stands before a comma is enough, and does not make a whole name doubtful
    (dir / "names.txt").write_text("red, ruby\nmauve, malva\nmauve\n")
    check(evaluate(f"--class-names={dir}/names.txt", dir / "net.bin", dir / "words")["results"][0]["top1"] == 1)


@test
def as_many_folders_as_classes_are_taken_in_order(dir):
    for name, color in ("n01", "red"), ("n02", "green"), ("n03", "blue"):
        fill(dir / "wordnet" / name, [color])
    said = f"gpudl: eval: note: {dir}/wordnet: its folders in the order of their names are taken for the classes 0 to 2"
    told = evaluate(dir / "net.bin", dir / "wordnet", stderr=said)
    check(told["dataset"]["matched_by"] == "order" and told["results"][0]["top1"] == 1, told)
    # one more than classes is no order of them
    fill(dir / "wordnet" / "n04", ["red"])
    check_run(gpudl("eval", dir / "net.bin", dir / "wordnet"), 1, f"gpudl: eval: {dir}/wordnet: classes 'n01', 'n02', 'n03' and 1 more")
    shutil.rmtree(dir / "wordnet" / "n04")
    # a name that says another order forbids it
    (dir / "wordnet" / "n03").rename(dir / "wordnet" / "a")
    (dir / "wordnet" / "n01").rename(dir / "wordnet" / "red")
    check_run(gpudl("eval", dir / "net.bin", dir / "wordnet"), 1, f"gpudl: eval: {dir}/wordnet: classes 'a', 'n02', of 3, ")


def write_idx(dir, images, labels, packed=False, claims=None):
    """Pictures of one grey each."""
    put = (lambda path, data: Path(f"{path}.gz").write_bytes(gzip.compress(data))) if packed else \
        (lambda path, data: path.write_bytes(data))
    dir.mkdir(exist_ok=True)
    put(dir / "t10k-images-idx3-ubyte", struct.pack(">IIII", 0x803, claims or len(images), 5, 7)
        + b"".join(bytes([v]) * 35 for v in images))
    put(dir / "t10k-labels-idx1-ubyte", struct.pack(">II", 0x801, len(labels)) + bytes(labels))
    return dir / ("t10k-images-idx3-ubyte" + (".gz" if packed else ""))


@test
def mnist_s_files_are_read(dir):
    # class 0 above a grey of 128, class 1 below
    net = dir / "grey.onnx"
    net.write_bytes(onnxfile.model(
        [onnxfile.node("GlobalAveragePool", "x", "p"), onnxfile.node("Conv", "p w b", "c"), onnxfile.node("Flatten", "c", "y"),
         onnxfile.constant("w", (2, 3, 1, 1), [1.0] * 3 + [-1.0] * 3), onnxfile.constant("b", (2,), [0.0, 3.0])],
        [onnxfile.value("x", (1, 3, 8, 8))], [onnxfile.value("y", (1, 2))]))
    for packed in False, True:
        path = write_idx(dir / f"mnist-{packed}", [255, 0, 200, 10], [0, 1, 0, 0], packed)
        told = evaluate(net, path, stderr="gpudl: eval: note: nothing says")
        check(told["dataset"]["kind"] == "mnist" and told["dataset"]["matched_by"] == "number", told)
        check(told["results"][0]["top1"] == 0.75 and told["results"][0]["confusions"] ==
              [{"truth": 0, "answer": 1, "pictures": 1}], told)
    folder = dir / "mnist-bad"
    for prepare, says in [
        (lambda: write_idx(folder, [1, 2], [0]), "t10k-labels-idx1-ubyte: says that it has 1 labels and has 1, expected 2"),
        (lambda: write_idx(folder, [1, 2], [0, 0], claims=3), "t10k-images-idx3-ubyte: says that it has 3 pictures of 7 x 5"),
        (lambda: (folder / "t10k-labels-idx1-ubyte").unlink(), "t10k-images-idx3-ubyte: its labels are not beside it: expected "
         "t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"),
    ]:
        write_idx(folder, [1, 2], [0, 0])
        prepare()
        check_run(gpudl("eval", dir / "net.bin", folder / "t10k-images-idx3-ubyte"), 1, f"gpudl: eval: {folder}/{says}")
    write_idx(folder, [1], [0])
    check_run(gpudl("eval", dir / "net.bin", folder / "t10k-labels-idx1-ubyte"), 1,
              f"gpudl: eval: {folder}/t10k-labels-idx1-ubyte: is MNIST's file of labels, expected that of pictures")
    check_run(gpudl("eval", dir / "net.bin", folder), 1, f"gpudl: eval: {folder}: has no folders in it")
    whole = (folder / "t10k-images-idx3-ubyte").read_bytes()
    for n in range(5, len(whole), 5):
        (folder / "t10k-images-idx3-ubyte").write_bytes(whole[:n])
        check(gpudl("eval", dir / "net.bin", folder / "t10k-images-idx3-ubyte").returncode == 1, n)


@test
def cifar_s_records_are_read(dir):
    def record(label, rgb):
        return bytes(label) + b"".join(bytes([v]) * 1024 for v in rgb)

    (dir / "cifar").mkdir()
    path = dir / "cifar" / "test_batch.bin"
    path.write_bytes(record([0], (255, 0, 0)) + record([2], (0, 0, 255)) + record([1], (0, 255, 0)) + record([0], (0, 0, 255)))
    told = evaluate(dir / "net.bin", path)
    check(told["dataset"]["kind"] == "cifar-10" and told["dataset"]["matched_by"] == "number", told)
    check(told["results"][0]["top1"] == 0.75, told)
    # the names beside the records are those of another order
    (dir / "cifar" / "batches.meta.txt").write_text("\n".join(["bl\u00e4ulich", 'green "grass"', "red", *"3456789"]) + "\n\n")
    told = evaluate(dir / "net.bin", path)
    check(told["dataset"]["matched_by"] == "name" and told["results"][0]["top1"] == 0.5, told)
    path = dir / "cifar" / "test.bin"
    path.write_bytes(record([19, 1], (0, 255, 0)) + record([3, 0], (255, 0, 0)))
    told = evaluate(dir / "net.bin", path)
    check(told["dataset"]["kind"] == "cifar-100" and told["results"][0]["top1"] == 1, told)
    path.write_bytes(path.read_bytes()[:-1])
    check_run(gpudl("eval", dir / "net.bin", path), 1, f"gpudl: eval: {path}: is neither text in UTF-8 nor a file of pictures")
    check_run(gpudl("eval", dir / "net.bin", dir / "nothing"), 1, f"gpudl: eval: {dir}/nothing: no such file or folder")


@test
def two_networks_are_compared(dir):
    """The second takes green for blue, and is right about the blue picture that lies among the red ones."""
    second = write_network(dir / "second.onnx", [(1, 0, 0.9), (0, 0, 0), (0, 1, 0.8)])
    args = f"--against={second}", dir / "net.bin", photos(dir)
    result = gpudl("eval", "--json", *args)
    check(result.returncode == 0, result.stderr)
    told = json.loads(result.stdout)
    first, second = told["results"]
    check(near(first["top1"], 5 / 6) and near(second["top1"], 0.5), told)
    compared = told["comparison"]
    check((compared["both_right"], compared["only_first"], compared["only_second"], compared["neither"]) == (2, 3, 1, 0)
          and near(compared["same"], 2 / 6), compared)
    check(near(compared["largest_difference"], RIGHT - WRONG, 1e-3)
          and compared["largest_at"].endswith("deeper/green-0.png"), compared)
    check(len(compared["differ"]) == 4 and [os.path.basename(d["picture"]) for d in compared["differ"]] ==
          ["blue-0.png", "green-0.png", "green-0.png", "blue-1.png"], compared)
    blue = compared["differ"][3]
    check(blue["truth"] == 0 and [a["id"] for a in blue["answers"]] == [2, 0], blue)
    result = gpudl("eval", *args)
    check("\nthe same answer: 33.33 % (2 of 6); right: both 2, only the first 3, only the second 1, neither 0\n"
          in result.stdout, result.stdout)
    check("net.bin, ref, fp32" in result.stdout and "second.onnx, ref, fp32" in result.stdout, result.stdout)
    (dir / "rgb.txt").write_text("red\ngreen\nblue\n")
    check_run(gpudl("convert", dir / "second.onnx", "-o", dir / "named.bin", "--labels", dir / "rgb.txt", "--backend=ref"), 0,
              "gpudl: convert: note: ")
    result = gpudl("eval", f"--against={dir}/named.bin", dir / "net.bin", photos(dir))
    check(f"gpudl: eval: note: class 1 is 'green \"grass\"' to {dir}/net.bin and 'green' to {dir}/named.bin; answers are compared "
          "by number\n" in result.stderr, result.stderr)
    two = write_network(dir / "two.onnx", [(1, 0, 0), (0, 1, 0)])
    result = gpudl("eval", f"--against={two}", dir / "net.bin", photos(dir))
    check(result.returncode == 1 and "has 3 classes and " in result.stderr, result.stderr)


@test
def another_backend_is_compared(dir):
    told = evaluate("--against-backend=ref", dir / "net.bin", photos(dir), stderr="gpudl: eval: note: ")
    compared = told["comparison"]
    check(compared["same"] == 1 and compared["largest_difference"] == 0 and compared["largest_at"] is None
          and compared["differ"] == [], told)
    result = gpudl("eval", "--against-backend=ref", dir / "net.bin", photos(dir))
    check("\nno score differs\n" in result.stdout, result.stdout)
    if (Path(os.environ["GPUDL_BACKEND_PATH"]) / "gpudl-cpu.so").exists():
        told = evaluate("--against-backend=cpu", "--against-precision=fp32", dir / "net.bin", photos(dir),
                        stderr="gpudl: eval: note: ")
        check([one["backend"] for one in told["results"]] == ["ref", "cpu"], told)
        check(told["comparison"]["same"] == 1 and told["comparison"]["largest_difference"] < 1e-4, told)


@test
def scores_that_are_no_probabilities_have_no_loss(dir):
    net = write_network(dir / "sigmoid.onnx", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], "Sigmoid")
    (dir / "numbers.txt").write_text("photos/RED/red-0.png 0\nphotos/RED/blue-1.png 0\n")
    photos(dir)
    told = evaluate(net, dir / "numbers.txt", stderr="gpudl: eval: note: nothing says")
    (one,) = told["results"]
    check(one["top1"] == 0.5 and one["loss"] is None and one["calibration_error"] is None and one["calibration"] == [], one)
    check(near(one["margin"], 1 / (1 + math.exp(-10)) - 0.5), one)


@test
def what_may_be_overlooked_is_said(dir):
    """A picture that is not all there, a second output, a link that leads round in circles."""
    fill(dir / "whole" / "red", ["red"])
    (dir / "whole" / "red" / "cut.jpg").write_bytes((MEDIA / "rgb.jpg").read_bytes()[:-20])
    told = evaluate(dir / "net.bin", dir / "whole",
                    stderr=f"gpudl: eval: note: {dir}/whole/red/cut.jpg: its end is missing: the picture may be incomplete\n")
    check(told["judged"] == 2, told)
    parts = [onnxfile.node("GlobalAveragePool", "x", "p"), onnxfile.node("Flatten", "p", "y"), onnxfile.node("Neg", "y", "z")]
    (dir / "heads.onnx").write_bytes(onnxfile.model(parts, [onnxfile.value("x", (1, 3, 8, 8))],
                                                    [onnxfile.value("y", (1, 3)), onnxfile.value("z", (1, 3))]))
    (dir / "one.txt").write_text("whole/red/red-0.png 0\n")
    result = gpudl("eval", dir / "heads.onnx", dir / "one.txt")
    check(result.returncode == 0 and f"gpudl: eval: note: {dir}/heads.onnx has 2 outputs; the first, y, is judged\n"
          in result.stderr, result.stderr)
    (dir / "whole" / "red" / "round").symlink_to(".")
    check_run(gpudl("eval", dir / "net.bin", dir / "whole"), 1, f"gpudl: eval: {dir}/whole/red/round/")
    check("folders lie in more than 32 others; is a link among them?" in
          gpudl("eval", dir / "net.bin", dir / "whole").stderr)


@test
def a_picture_that_one_network_can_t_score_counts_for_neither(dir):
    """The root of what is below 0 is no number: of red pictures."""
    rooted = write_network(dir / "rooted.onnx", [(-1, 1, 0), (0, 1, 0), (0, 0, 1)], "Sqrt")
    result = gpudl("eval", "--json", f"--against={rooted}", dir / "net.bin", photos(dir))
    told = json.loads(result.stdout)
    check(result.returncode == 1 and told["judged"] == 4 and len(told["failures"]) == 2, result.stderr)
    check([os.path.basename(f.split(": ")[0]) for f in told["failures"]] == ["red-0.png", "red-2.png"], told["failures"])
    check([sum(c["pictures"] for c in one["classes"]) for one in told["results"]] == [4, 4], told)
    check(told["results"][0]["top1"] == 0.75, told)


@test
def labels_of_a_file_name_the_classes(dir):
    (dir / "labels.txt").write_text("rot\ngr\u00fcn\nblau\n")
    fill(dir / "deutsch" / "Rot", ["red"])
    told = evaluate(f"--labels-file={dir}/labels.txt", dir / "net.bin", dir / "deutsch")
    check(told["dataset"]["matched_by"] == "name" and told["results"][0]["classes"][0]["label"] == "rot", told)


@test
def options_for_pixels_count(dir):
    """In the other order of channels red is blue."""
    told = evaluate("--channel-order=bgr", dir / "net.bin", photos(dir), stderr="gpudl: eval: note: ")
    check(near(told["results"][0]["top1"], 3 / 6), told)
    lines = gpudl("eval", "--channel-order=bgr", dir / "net.bin", photos(dir)).stdout.splitlines()
    first = lines.index("classes, the worst first") + 2
    check([line.split()[4] for line in lines[first:first + 3]] == ["2", "0", "1"], lines)  # none, a third, all


def read_png(path):
    """Width, height and rows of palette indices, by the palette's colours."""
    data, chunks, at = path.read_bytes(), {}, 8
    check(data[:8] == b"\x89PNG\r\n\x1a\n")
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        check(struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body), kind)
        chunks[kind] = body
        at += 12 + size
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    check(form == [8, 3, 0, 0, 0] and list(chunks)[-1] == b"IEND", form)
    raw = zlib.decompress(chunks[b"IDAT"])
    check(len(raw) == height * (width + 1))
    return width, height, [[tuple(chunks[b"PLTE"][3 * i:3 * i + 3]) for i in raw[y * (width + 1) + 1:(y + 1) * (width + 1)]]
                           for y in range(height)]


@test
def the_confusion_matrix_is_written(dir):
    paths = dir / "m.csv", dir / "m.png"
    check(gpudl("eval", *[f"--confusion={p}" for p in paths], dir / "net.bin", photos(dir)).returncode == 0)
    with open(paths[0], newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    check(rows == [["truth", "red", 'green "grass"', "bl\u00e4ulich"], ["red", "2", "0", "1"], ['green "grass"', "0", "2", "0"],
                   ["bl\u00e4ulich", "0", "0", "1"]], rows)
    width, height, pixels = read_png(paths[1])
    check(width == height == 96, (width, height))
    shade = [[sum(pixels[32 * y + 16][32 * x + 16]) for x in range(3)] for y in range(3)]
    # darker is more: all, two of three, one of three, none
    check(shade[1][1] == shade[2][2] < shade[0][0] < shade[0][2] < shade[0][1] == 3 * 255, shade)
    check_run(gpudl("run", dir / "net.bin", paths[1]), 0)
    for target in photos(dir) / "RED" / "red-0.png", dir / "as picture.png":
        if not target.exists():
            target.symlink_to(photos(dir) / "RED" / "red-0.png")
        before = target.read_bytes()
        result = gpudl("eval", f"--confusion={target}", dir / "net.bin", photos(dir))
        check_run(result, 1, f"gpudl: eval: --confusion: {target} is a picture of the data set, which would be lost")
        check(target.read_bytes() == before)
    # before anything is judged
    (dir / "folder.png").mkdir()
    for path, says in (dir / "no" / "where.csv", "No such file"), (paths[0] / "x.csv", "Not a directory"), \
            (dir / "folder.png", "is not a regular file"):
        result = gpudl("eval", f"--confusion={path}", dir / "net.bin", photos(dir))
        check_run(result, 1, f"gpudl: eval: {path}: can't be written: {says}")
        check(result.stdout == "", result.stdout)


@test
def ctrl_c_ends_it_with_what_there_is(dir):
    photos(dir)
    (dir / "many.txt").write_text("photos/RED/red-0.png 0\n" * 200000)
    process = subprocess.Popen([GPUDL, "eval", "--backend=ref", dir / "net.bin", dir / "many.txt"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    check(process.returncode == 130, (process.returncode, stderr))
    check("of 200000 pictures were judged" in stderr, stderr)
    check(" pictures of 200000, 1 class found by number" in stdout, stdout)


@test
def a_reader_that_goes_ends_it(dir):
    with open("/dev/full", "w") as full:
        result = subprocess.run([GPUDL, "eval", "--backend=ref", dir / "net.bin", photos(dir)], stdout=full,
                                stderr=subprocess.PIPE, text=True)
    check(result.returncode == 1 and "output can't be written" in result.stderr, result.stderr)


sys.exit(main())
