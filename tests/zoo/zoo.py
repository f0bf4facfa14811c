#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: zoo.py BUILD [--shard I/N] [--nets REGEX] [--limit SECONDS] [--again REGEX] [--json FILE] [--summary]

torchvision's and timm's networks through libgpudl, as scripts/zoo (make check-zoo) starts it. The smallest network of each
kind gets random weights (nets.py), is written by both of PyTorch's ONNX exporters and as .pt2, and its scores on the CPU
backend in float32 are held against PyTorch's in float64: the error may be at most max(1e-4, 4 x the larger of float32
PyTorch's and ONNX Runtime's own) of the range, and less than 1e-4 where another picture changes less than 1e-3. ONNX Runtime's
of a .pt2 is that of the same network by an ONNX exporter. Of the other names up to 100 million parameters the TorchScript exporter's file (dynamo's, where that fails) only has to import; larger ones
are left to their kind's smallest. Each result is a row in BUILD/zoo/rows; what has one is not done again, so a run that was
ended goes on where it stopped.

--shard I/N: the I-th of N parts (1 the first) alone, so that N machines, or processes, do different ones.
--nets: only those of which "NAME FORM" matches; FORM is torchscript, dynamo, pt2 or import.
--limit: begins no further network after that many seconds.
--again: forgets rows whose verdict matches first, e.g. 'refused|wrong' after a change.
--json: writes all rows there. --summary: looks at nothing, says what the rows come to.
Exit 1: a wrong answer, a crash, or fewer than 99 % of timm's convolutional names fine. "not judged" is a network
of which float32 is too far off, or that sees too little of the picture, to tell right from wrong: it has to load and to run, which is no
error here, but not one of the fine ones either.
"""
import argparse
import functools
import json
import os
import pathlib
import re
import resource
import select
import signal
import subprocess
import sys
import time
import warnings

import bounds
import names
import summary

PATIENCE = 1800  # seconds for one network: the largest takes ten minutes where nothing else runs

parser = argparse.ArgumentParser(usage=__doc__.splitlines()[0].removeprefix("usage: "))
parser.add_argument("build", type=pathlib.Path)
parser.add_argument("--shard", default="1/1")
parser.add_argument("--nets", default="")
parser.add_argument("--limit", type=float, default=float("inf"))
parser.add_argument("--again")
parser.add_argument("--json", type=pathlib.Path)
parser.add_argument("--summary", action="store_true")
options = parser.parse_args()
place = options.build.resolve() / "zoo"
rows_folder = place / "rows"


# ---- one network, in a process of its own ----------------------------------------------------------------------------

def off(values, expected):
    """The largest difference as a part of the range."""
    import numpy as np
    if values.shape != expected.shape:
        return float("inf")
    worst = np.abs(values - expected).max() / np.ptp(expected)
    return float(worst) if np.isfinite(worst) else float("inf")


def onnxruntime_error(path, x, expected):
    """What ONNX Runtime is off on a file."""
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return off(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0].astype("f8").ravel(), expected)


def processor_time():
    """Seconds of the children that ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def ours(path, backend, x=None):
    """What zoo-run says, split, the scores, and the processor time that it took."""
    import numpy as np
    before = processor_time()
    command = [options.build / "tests" / "zoo" / "zoo-run", backend, path]
    if x is not None:
        given, result = path.with_suffix(".in"), path.with_suffix(".out")
        given.write_bytes(x.numpy().tobytes())
        result.unlink(missing_ok=True)
        command += [given, result]
    ran = subprocess.run(command, capture_output=True, text=True)
    said = ran.stdout.strip("\n").split("\t")
    if said[0] not in ("ok", "error"):
        said = ["error", "crash", f"zoo-run ended with {ran.returncode}: {ran.stderr[-500:]}"]
    spent = round(processor_time() - before, 2)
    return said, np.fromfile(result, "f4").astype("f8") if said[0] == "ok" and x is not None else None, spent


def refused(row, said):
    stage, text = said[1:3]
    return row | {"verdict": "crashed" if stage == "crash" else "refused", "text": re.sub(r"^\S*/", "", text)}


def judge(row, path, x, expected, torch_error, error_of):
    """The row with a verdict on one file. One whose scores tell nothing has to load and to run all the same."""
    said, found, row["run_seconds"] = ours(path, "cpu", x)
    theirs, why = bounds.theirs_of(row["form"], error_of)
    if why:
        row["onnxruntime_error"] = why
    if said[0] != "ok":
        row = refused(row, said)
        if row["verdict"] == "refused" and row["form"] != "pt2" and why:
            row |= {"verdict": "exporter fails", "text": f"{row['text']}; ONNX Runtime: {why}"}
        return row
    reacts, row["batch1"] = row["reacts"], said[3]
    if not bounds.tells(row["range"], reacts, torch_error):
        text = f"another picture changes {reacts:.2g} of the range {row['range']:.3g}, float32 {torch_error:.2g}: nothing to judge by"
        return row | {"verdict": "not judged", "text": text}
    error = off(found, expected)
    verdict, bound = bounds.verdict(error, reacts, torch_error, theirs)
    row |= {"error": error, "bound": bound, "torch": torch_error, "onnxruntime": theirs, "text": "", "verdict": verdict}
    if verdict == "wrong":
        row["reference"] = off(ours(path, "ref", x)[1], expected)  # tells the importer's mistakes from the backend's
        row["text"] = f"off by {error:.2g} of the range, allowed are {bound:.2g}; the reference backend by {row['reference']:.2g}"
    return row


def compared(entry, forms, tell):
    import torch
    import nets
    import numpy as np

    net, shape = nets.make(entry["name"])
    nets.disturb(net, shape)
    x, other = nets.pictures(shape).split(1)
    expected = nets.truth(entry["name"], net, x)
    narrow, changed = nets.scores(net, x), nets.scores(net, other)
    span = float(np.ptp(expected))
    reacts, torch_error = (off(changed, expected), off(narrow, expected)) if span > 0 else (0, 0)

    @functools.cache
    def error_of(form):
        path = place / f"{os.getpid()}.{form}.onnx"
        if not path.exists():
            nets.export(net, x, form, path)
        return onnxruntime_error(path, x, expected)

    for form in forms:
        row = {"form": form, "range": span, "reacts": reacts, "parameters": sum(p.numel() for p in net.parameters())}
        path = place / f"{os.getpid()}.{form}{'' if form == 'pt2' else '.onnx'}"
        begin = time.monotonic()
        try:
            nets.export(net, x, form, path)
        except Exception as error:
            tell(row | {"verdict": "exporter fails", "text": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            continue
        row["bytes"], row["export_seconds"] = path.stat().st_size, round(time.monotonic() - begin, 1)
        tell(judge(row, path, x, expected, torch_error, error_of))


def imported(entry, tell):
    import torch
    import nets
    with nets.unset():
        net, shape = nets.make(entry["name"])
    nets.fill(net)
    row, path = {"form": "import", "parameters": entry["parameters"]}, place / f"{os.getpid()}.onnx"
    for exporter in ("torchscript", "dynamo"):  # what one can't write the other may
        try:
            nets.export(net, torch.zeros(shape), exporter, path)
        except Exception as error:
            row["text"] = row.get("text", "") + f"{exporter}: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
            continue
        said, _, row["run_seconds"] = ours(path, "cpu")
        row |= {"exporter": exporter, "text": ""}
        tell(refused(row, said) if said[0] != "ok" else row | {"verdict": "imports", "batch1": said[3]})
        return
    tell(row | {"verdict": "exporter fails"})


def in_child(entry, forms, out):
    def tell(row):
        os.write(out, (json.dumps({"net": entry["name"], "module": entry["module"], "family": entry["family"], **row}) + "\n").encode())

    warnings.filterwarnings("ignore")
    for descriptor in (1, 2):  # what exporters and timm say
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        imported(entry, tell) if forms == ["import"] else compared(entry, forms, tell)
    except BaseException as error:
        tell({"form": "", "verdict": "exporter fails", "text": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
    os._exit(0)


# ---- all of them -----------------------------------------------------------------------------------------------------

def run(entry, forms):
    """Rows of one network, a row for each form; those of a process that died or took too long say so."""
    begin, text = time.monotonic(), b""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        in_child(entry, forms, writing)
    os.close(writing)
    try:
        while select.select([reading], [], [], max(0, begin + PATIENCE - time.monotonic()))[0] and (more := os.read(reading, 65536)):
            text += more
    finally:
        os.close(reading)
        late = time.monotonic() - begin >= PATIENCE
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            if late or sys.exc_info()[0]:
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for path in place.glob(f"{child}.*"):
            path.unlink()
    rows = [json.loads(line) for line in text.splitlines()]
    failure = next((row for row in rows if row["form"] == ""), None)
    rows = [row for row in rows if row["form"]]
    common = {"net": entry["name"], "module": entry["module"], "family": entry["family"]}
    for form in set(forms) - {row["form"] for row in rows}:
        if failure is not None:
            rows.append(failure | {"form": form})
        elif late:
            rows.append(common | {"form": form, "verdict": "too slow", "text": f"not done after {PATIENCE} s"})
        else:
            rows.append(common | {"form": form, "verdict": "exporter fails", "text": "the process died (of memory?)"})
    for row in rows:
        row["seconds"] = round(time.monotonic() - begin, 1)
    return rows


def read_rows():
    """What is known: {(net, form): row}."""
    found = {}
    for path in sorted(rows_folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found[row["net"], row["form"]] = row
    return found


def forget(pattern):
    for path in rows_folder.glob("*.jsonl"):
        lines = [line for line in path.read_text().splitlines() if not re.search(pattern, json.loads(line)["verdict"])]
        path.write_text("".join(line + "\n" for line in lines))


def wanted(entry, forms, known):
    return [form for form in forms
            if (entry["name"], form) not in known and re.search(options.nets, f"{entry['name']} {form}")]


def work(catalogue):
    """Looks at what has no row yet."""
    part, parts = map(int, options.shard.split("/"))
    known, begin = read_rows(), time.monotonic()
    todo = [(entry, forms) for entry, forms in names.jobs(catalogue)[part - 1::parts] if wanted(entry, forms, known)]
    out = rows_folder / f"{part}-of-{parts}.jsonl"
    for n, (entry, forms) in enumerate(todo, 1):
        if time.monotonic() - begin > options.limit:
            print(f"stopped after {options.limit:g} s; {len(todo) - n + 1} of {len(todo)} networks are left", flush=True)
            return
        left = wanted(entry, forms, read_rows())  # another run may have done it since
        for row in run(entry, left) if left else []:
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            error = f"{row['error']:.1e} " if "error" in row else ""
            print(f"{n}/{len(todo)} {row['net']} {row['form']}: {row['verdict']} {error}{row['text']} ({row['seconds']:.0f} s)", flush=True)


def main():
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "GPUDL_BACKEND_PATH": str(options.build.resolve() / "engine" / "cpu")}
    rows_folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    if options.again:
        forget(options.again)
    catalogue = names.catalogue(place / "names.json")
    if not options.summary:
        import torch
        import nets  # here, so that every child has them
        import onnxruntime
        import onnxscript
        torch.set_num_threads(1)
        assert nets and onnxruntime and onnxscript
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the child ends, too
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        work(catalogue)
    rows = list(read_rows().values())
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    lines, good = summary.complete(catalogue, rows)
    print("\n".join(lines))
    sys.exit(not good)


if __name__ == "__main__":
    main()
